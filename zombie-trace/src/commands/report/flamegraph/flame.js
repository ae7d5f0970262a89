"use strict";
// A click on a frame zooms to it; a click on the widest frame shows all again. In a page, its search field
// marks functions, too.
{
  const graphs = [...document.querySelectorAll(".flame")].map(graph => {
    const frames = [...graph.querySelectorAll(".f")].map(frame => ({
      frame, x: parseFloat(frame.getAttribute("x")), width: parseFloat(frame.getAttribute("width")),
      text: frame.querySelector("title").textContent.toLowerCase(),
    }));
    for (const { frame, x, width } of frames) {
      frame.addEventListener("click", () => {
        for (const other of frames) {
          const from = Math.max(other.x, x), to = Math.min(other.x + other.width, x + width);
          other.frame.style.display = to - from > width / 5000 ? "" : "none";
          other.frame.setAttribute("x", `${(from - x) / width * 100}%`);
          other.frame.setAttribute("width", `${Math.max(to - from, 0) / width * 100}%`);
        }
      });
    }
    return frames;
  });
  const find = sought => {
    for (const { frame, text } of graphs.flat()) frame.classList.toggle("hit", sought !== "" && text.includes(sought));
  };
  const field = document.querySelector("#search"), link = document.querySelector("text.search");
  field?.addEventListener("input", () => find(field.value.trim().toLowerCase()));
  link?.addEventListener("click", () => {
    const text = prompt("Mark functions whose name contains:");
    if (text !== null) find(text.trim().toLowerCase());
  });
}
