"""Names as a Chinese district bears them: surnames by share, given names by sex and decade."""

from collections import defaultdict
from functools import cache
from itertools import accumulate
from random import Random

from hub_kernel.pinyin import syllables
from patient_index.matching.names import blurred

# Shares in a million, after the public yearly reports on names; the rest is spread over the tail.
_COMMON_SURNAMES = (
    "王 72500 李 71900 张 68300 刘 53800 陈 45300 杨 30800 黄 22300 赵 22900 吴 20500 周 21200 "
    "徐 16600 孙 15400 马 12900 朱 12800 胡 13100 郭 11500 何 11700 林 11300 罗 9500 高 10000 "
    "郑 9200 梁 8500 谢 7900 宋 8100 唐 6900 许 6600 韩 6800 邓 6500 冯 6400 曹 6100 彭 5800 "
    "曾 5500 肖 5600 田 5100 董 5100 潘 4800 袁 4800 蔡 4700 蒋 4700 余 4600 于 4400 杜 4500 "
    "叶 4200 程 4400 魏 4300 苏 4200 吕 4200 丁 4100 任 4000 卢 3900 姚 3800 沈 3800 钟 3700 "
    "姜 3600 崔 3500 谭 3500 陆 3400 范 3400 汪 3300 廖 3200 石 3200 金 3100 韦 3000 贾 3000 "
    "夏 2900 付 2900 方 2900 邹 2800 熊 2800 白 2700 孟 2600 秦 2600 邱 2500 侯 2500 江 2500 "
    "尹 2400 薛 2400 闫 2400 段 2300 雷 2300 龙 2200 黎 2200 史 2100 陶 2100 贺 2000 毛 2000 "
    "郝 2000 顾 2000 龚 1900 邵 1900 万 1900 覃 1800 武 1800 钱 1800 戴 1700 严 1700 莫 1700 "
    "孔 1600 向 1600 常 1600 汤 1500 康 1500 易 1400 乔 1400 赖 1400 文 1300 施 1300 洪 1300 "
    "辛 1200 柯 1100 庄 1100 单 700 解 600 仇 400 查 500 盖 200 区 400 朴 500 翟 1300 缪 400 "
    "欧阳 700 司马 100 上官 120 诸葛 60 司徒 80 令狐 60 尉迟 20 端木 20 夏侯 20 慕容 30"
)
_TAIL_SURNAMES = (
    "尤牛温芦俞葛章管邢齐梅盛童颜樊兰焦左柳甘祝包宁符阮纪欧祁岳耿关詹聂苗吉裴霍翁冉卓瞿房储季"
    "屈项卞卜蒲晏柴华车涂束井富巫乌弓牧隗山谷宓蓬全郗班仰秋仲伊宫栾暴甄曲封芮羿靳汲邴糜松党路娄"
    "危郜边燕冀郏浦尚农别晏阎充慕连茹习宦艾鱼容向古慎戈廖庾终暨居衡步都满弘匡国寇广禄阙东殳沃利蔚"
    "越夔隆师巩厍聂晁勾敖融冷訾辛阚那简饶空曾毋沙乜养鞠须丰巢蒯相查后荆红游竺权逯益桓公"
)

_GIVEN = {
    ("M", 0): "国建华志明德文福金荣贵祥玉生林海永春成安根宝庆义仁忠发富长树学兴世正清有才顺喜全"
    "山水云龙保民光开万昌和平元洪良士友启连炳泉松坤培耀宗达水火",
    ("M", 1): "建国军平明伟强勇志华文海红新林刚斌峰辉东波庆春永立卫民德金成光学生荣利良宏忠跃进"
    "援朝健武洪松亮涛旭兵根富祥龙",
    ("M", 2): "伟强军勇杰涛明超刚平辉鹏飞斌波峰健亮俊磊鑫宇浩凯东海龙林文建志晓小云华阳洋旭晨成"
    "帅雷乐毅翔栋彬江威佳川诚振家嘉少",
    ("M", 3): "浩宇轩子梓博文俊熙辰泽睿诚铭宸晨皓奕一沐佳家嘉天昊思瑞航然逸哲旭霖恒翰骏煜锦星凡"
    "阳明志乐允承启柏书谦皓楷彦",
    ("F", 0): "秀英兰桂珍玉凤芳梅淑珠翠花娥莲香菊素云爱琴仙金银巧月美春惠华荣贞宝连招娣妹小大林"
    "根彩福静文瑞清慧如蓉",
    ("F", 1): "秀英丽华芳玉兰红梅珍霞萍玲云凤琴燕敏娟春美艳桂香惠建文静淑莲爱菊亚小雪慧洁莉群荣"
    "金蓉勤英月平琼",
    ("F", 2): "丽敏静娟艳霞红燕娜芳玲婷萍雪莉倩洁颖琳慧佳晓小文云丹蕾璐莹晶欣雅思梦园媛露薇琴瑶"
    "佩妍春海青竹宁雯",
    ("F", 3): "欣怡梓涵雨诗子萱佳琪妍可一诺思语彤梦雅若嘉依馨悦菲晨曦芷沐瑶宁静溪颖希辰婉钰苒伊"
    "清夏念桐柠昕玥艺安乐",
}  # fmt: skip
_UNUSUAL = (
    "堃喆犇淼焱垚鑫赟翀骉翾璟琰琮瑄瑾珺珏玥玮璇璨祯禛禧祎祺禾秉稼穆颢颀頔韬韵馥骁骞骥鹤鸿麒麟黛"
    "倬俐侃佑佶佺偲儒冕冉凌劭勋匀卿叡启吟咏哿嗣圣坦垣城埔埕墨壬夔奂奇妤妮姗姝姣娴婕婧婵嫣孜孟"
    "宓宛宥宪寅尧岚岱峥峻崇嵘嵩川帆彰微徽忱恺悌惟愉懿戈扬抒拓振捷掣攸攀斐旌旖昂昉昌昕晟晏普景晰"
    "智暄朔朗杉杭枫柯栩桓桦梁棋棠楚楠榆榕槿樱檀欢歆殊毓汀汐沁沛泓泠泳津洛洲浚浠涓润淇淳渊湘湛溢"
    "滢漪潇澄澜濡灏炅炎炜炫烁烨焕煊熠燊爽牧玖珂珈琛琦琬瑜璋甜甫畅皎盈睦砚硕碧磬祈"
)
_OUTSIDE_GBK = "䶮㛃𬭎𬍛𫖯𬀩𫍯𬘓䴖𬸚㻬𬬭𫄧𬎆𫘧"

_FAMILIAR = "国华明文春林玉金小云海建丽红芳美英珍平"

Weighted = tuple[list[str], list[float]]


@cache
def surnames() -> Weighted:
    """Return surnames and their cumulative weights."""
    words = _COMMON_SURNAMES.split()
    shares = {word: float(share) for word, share in zip(words[::2], words[1::2], strict=True)}
    left = 1_000_000 - sum(shares.values())
    tail = [char for char in dict.fromkeys(_TAIL_SURNAMES) if char not in shares]
    weights = [1 / (rank + 4) for rank in range(len(tail))]
    shares.update(
        (char, left * weight / sum(weights)) for char, weight in zip(tail, weights, strict=True)
    )
    return list(shares), list(accumulate(shares.values()))


@cache
def given_characters(sex: str, era: int) -> Weighted:
    """Return the characters of given names of an era (0: before 1950 … 3: since 2000)."""
    usual = list(dict.fromkeys(_GIVEN[sex, era]))
    weights = [1 / (rank + 9) for rank in range(len(usual))]
    scale = 0.86 / sum(weights)
    unusual = [char for char in dict.fromkeys(_UNUSUAL) if char not in usual]
    tail = 0.135 / len(unusual)
    outside = list(_OUTSIDE_GBK)
    shares = [weight * scale for weight in weights]
    shares += [tail] * len(unusual) + [0.0008 / len(outside)] * len(outside)
    return usual + unusual + outside, list(accumulate(shares))


def era_of(year: int) -> int:
    """Return the era of a year of birth."""
    return 0 if year < 1950 else 1 if year < 1975 else 2 if year < 2000 else 3


def new_surname(random: Random) -> str:
    """Return a surname by its share."""
    names, weights = surnames()
    return random.choices(names, cum_weights=weights)[0]


def new_given_name(random: Random, sex: str, year: int, shared: str = "") -> str:
    """Return a given name; siblings often share one character (`shared`)."""
    characters, weights = given_characters(sex, era_of(year))
    single = (0.06, 0.16, 0.25, 0.09)[era_of(year)]
    if shared and random.random() < 0.4:
        other = random.choices(characters, cum_weights=weights)[0]
        return shared + other if random.random() < 0.7 else other + shared
    if random.random() < single:
        return random.choices(characters, cum_weights=weights)[0]
    if random.random() < 0.04:
        return random.choices(characters, cum_weights=weights)[0] * 2
    return "".join(random.choices(characters, cum_weights=weights, k=2))


Alike = dict[str, tuple[str, ...]]


@cache
def homophones(*, blurred_too: bool = False) -> Alike:
    """Return, by character, others of the pool that sound the same without tone.

    With `blurred_too` those that a dialect or a hasty ear takes for the same, and no others.
    """
    pool = dict.fromkeys("".join(_GIVEN.values()) + _UNUSUAL + _FAMILIAR)
    sounds = {char: "".join(syllables(char, surname_first=False)) for char in pool}
    if not blurred_too:
        return _alike(sounds)
    near = _alike({char: blurred(sound) for char, sound in sounds.items()})
    return {
        char: kept
        for char, others in near.items()
        if (kept := tuple(other for other in others if sounds[other] != sounds[char]))
    }


@cache
def surname_homophones() -> Alike:
    """Return, by surname, others that are read the same without tone."""
    return _alike({name: "".join(syllables(name)) for name in surnames()[0]})


def _alike(sounds: dict[str, str]) -> Alike:
    by_sound: dict[str, list[str]] = defaultdict(list)
    for word, sound in sounds.items():
        by_sound[sound].append(word)
    return {
        word: tuple(other for other in words if other != word)
        for words in by_sound.values()
        for word in words
        if len(words) > 1
    }


def outside_gbk(text: str) -> bool:
    """Say whether a name holds a character that older systems cannot keep."""
    return any(char in _OUTSIDE_GBK for char in text)


def foreign_name(random: Random, sex: str) -> tuple[str, str]:
    """Return (family, given) of somebody whose name is written in letters."""
    given = _LETTERS_MALE if sex == "M" else _LETTERS_FEMALE
    return random.choice(_LETTERS_FAMILY), random.choice(given)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_LETTERS_FAMILY = _words(
    "Smith Johnson Brown Miller Davis Wilson Anderson Taylor Moore Martin Lee Kim Park "
    "Choi Tanaka Sato Suzuki Nguyen Tran Pham Singh Khan Ivanov Petrov Müller Schmidt "
    "Rossi Silva Santos Garcia Lopez Mensah Okafor Diallo Haddad Rahman Hossain Kowalski "
    "Novak Jensen"
)
_LETTERS_MALE = _words(
    "James John Robert Michael David Daniel Thomas Mark Paul Kevin Minho Kenji Hiroshi "
    "Tuan Arjun Ali Sergei Hans Marco Joao Carlos Kwame Omar Peter"
)
_LETTERS_FEMALE = _words(
    "Mary Anna Sarah Laura Emma Linda Susan Julia Yuna Yuki Sakura Linh Priya Fatima Olga "
    "Heidi Giulia Maria Carmen Ama Leila Nadia Eva Karen"
)
