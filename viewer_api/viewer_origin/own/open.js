/* Takes the token from the fragment, gives it away for a cookie, and opens the study. */
(async function () {
  const given = new URLSearchParams(location.hash.slice(1));
  const token = given.get("token"), study = given.get("study"), language = given.get("lng");
  history.replaceState(null, "", "/open");
  const closed = () => {
    sessionStorage.removeItem("eirhub-grant");
    document.getElementById("opening").hidden = true;
    document.getElementById("closed").hidden = false;
  };
  if (!token || !/^[0-9.]{1,64}$/.test(study || "")) return closed();
  try {
    const answer = await fetch("/grants", { method: "POST", body: token });
    if (!answer.ok) return closed();
    sessionStorage.setItem("eirhub-grant", (await answer.json()).grant);
  } catch {
    return closed();
  }
  const query = new URLSearchParams({ StudyInstanceUIDs: study });
  if (/^(zh|en-US)$/.test(language || "")) query.set("lng", language);
  location.replace(`/viewer?${query}`);
})();
