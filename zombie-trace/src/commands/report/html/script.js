
"use strict";
// Sorts a table by the column whose heading is pressed: numbers largest first, then the other way.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const th = button.closest("th"), table = th.closest("table"), body = table.tBodies[0];
    const column = th.cellIndex, number = th.classList.contains("n");
    const sorted = th.getAttribute("aria-sort");
    const up = sorted ? sorted !== "ascending" : !number;
    const key = row => {
      const cell = row.cells[column];
      return number ? Number(cell.dataset.v ?? -1) : cell.textContent;
    };
    const compare = (a, b) => number ? a - b : a.localeCompare(b, "en");
    const rows = [...body.rows].map(row => [key(row), row]);
    rows.sort(([a], [b]) => up ? compare(a, b) : compare(b, a));
    body.append(...rows.map(([, row]) => row));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    th.setAttribute("aria-sort", up ? "ascending" : "descending");
  });
}
