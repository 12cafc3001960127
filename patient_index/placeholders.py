"""Names that name nobody: the unknown, the newborn called after a parent, the test entry.

Whoever bears one is provisional: linked by identifiers alone, until a real name is stated.
"""

import re

from hub_kernel.person_names import PersonName, name_keys


def is_placeholder(name: PersonName) -> bool:
    """Tell whether a name stands for somebody whose name is not known, or not yet given."""
    keys = name_keys(name)
    if keys.hanzi:
        return keys.hanzi in _NOBODY or bool(_CHILD_OF.fullmatch(keys.hanzi))
    return bool(_NOBODY_IN_LETTERS.fullmatch(keys.alphabetic))


_NOBODY = frozenset(
    (
        "无名氏", "無名氏", "无名", "未知", "不详", "不詳", "姓名不详", "身份不明", "无姓名",
        "匿名", "佚名", "未命名", "待定", "急诊", "急诊病人", "急诊患者", "新生儿", "婴儿", "男婴",
        "女婴", "三无人员", "测试", "测试病人",
    )
)  # fmt: skip
# 张三之子, 李四之女, 王五之长子, 王五之双胎大: a newborn under a parent's name.
_CHILD_OF = re.compile(
    r".{2,4}(之|的)(长|次|三|大|小|双胎|二|幺)?(子|女|婴|儿子|女儿|男婴|女婴|大|小|孩|宝|大宝|小宝)"
    r"[0-9a-z甲乙丙一二三]?|.{2,4}(新生儿|男婴|女婴)[0-9a-z甲乙丙一二三]?"
)
_NOBODY_IN_LETTERS = re.compile(
    r"(unknown[a-z]*|unbekannt|anonymous|anonym|noname|nomen nescio|(john|jane)doe|doe(john|jane)"
    r"|.*(babyboy|babygirl|newborn).*|baby|infant|xxx+|test(patient)?|emergency)[0-9]*"
)
