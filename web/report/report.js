// Filters the test items, and opens the one that a link names.
(() => {
  const form = document.querySelector(".filter"), items = [...document.querySelectorAll(".list > details")];
  const filter = () => {
    const { task, outcome, text } = form.elements, wanted = text.value.trim().toLowerCase();
    let shown = 0;
    for (const item of items) {
      const fits = (!task.value || item.dataset.task === task.value) && (!outcome.value || item.dataset.outcome === outcome.value)
        && (!wanted || item.textContent.toLowerCase().includes(wanted));
      item.hidden = !fits;
      shown += fits;
    }
    form.querySelector("output b").textContent = shown;
  };
  const open = () => {
    const item = location.hash.startsWith("#item-") && document.getElementById(location.hash.slice(1));
    if (!item) return;
    form.reset();
    filter();
    item.open = true;
    item.scrollIntoView({ block: "center" });
  };
  for (const event of ["input", "change"]) form.addEventListener(event, filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", open);
  open();
})();
