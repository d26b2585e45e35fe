"use strict";
const sections = [...document.querySelectorAll("details")];

// A click on a column's name sorts its table; a second one turns it round. What has no number comes last.
function compare(a, b, at, way) {
  const [x, y] = [a, b].map((row) => row.cells[at]);
  const [known, other] = [x, y].map((cell) => cell.dataset.value);
  if (known === undefined || other === undefined) return way * x.textContent.localeCompare(y.textContent);
  if (known === "" || other === "") return (known === "") - (other === "");
  return way * (Number(known) - Number(other));
}
for (const button of document.querySelectorAll("table.sortable thead button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const body = head.closest("table").tBodies[0];
    const numeric = head.classList.contains("number");
    const down = head.ariaSort ? head.ariaSort === "ascending" : numeric;
    for (const other of head.parentElement.cells) other.ariaSort = null;
    head.ariaSort = down ? "descending" : "ascending";
    body.append(...[...body.rows].sort((a, b) => compare(a, b, head.cellIndex, down ? -1 : 1)));
  });
}

// A link opens what it leads into.
function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  if (target) target.scrollIntoView();
}
window.addEventListener("hashchange", unfold);
unfold();

const fold = document.getElementById("fold");
fold.addEventListener("click", () => {
  const open = fold.textContent !== "Fold all";
  for (const part of document.querySelectorAll("details.section")) part.open = open;
  fold.textContent = open ? "Fold all" : "Unfold all";
});

// Paper can't be unfolded.
let shut = [];
window.addEventListener("beforeprint", () => {
  shut = sections.filter((part) => !part.open);
  for (const part of shut) part.open = true;
});
window.addEventListener("afterprint", () => {
  for (const part of shut) part.open = false;
});

// On a small screen the contents start folded.
if (matchMedia("(max-width: 60rem)").matches) document.getElementById("contents").open = false;
