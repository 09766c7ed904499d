"use strict";
(() => {
  const number = (cell) => Number(cell.dataset.v || cell.textContent || NaN);

  function compare(a, b) {
    const [x, y] = [number(a), number(b)];
    if (Number.isNaN(x) && Number.isNaN(y)) {
      return a.textContent.localeCompare(b.textContent, "en", { numeric: true });
    }
    return Number.isNaN(x) ? 1 : Number.isNaN(y) ? -1 : x - y;
  }

  function sort(table, column, header) {
    const down = header.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((a, b) => compare(a.cells[column], b.cells[column]));
    body.append(...(down ? rows.reverse() : rows));
  }

  for (const table of document.querySelectorAll("table")) {
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      const button = document.createElement("button");
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => sort(table, column, header));
    });
  }

  // The titles of a drawing are the browser's own tips; here they come at once, and on touch.
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.setAttribute("aria-hidden", "true");
  tip.hidden = true;
  document.body.append(tip);

  function tipped(place, words) {
    place.dataset.tip = words;
    place.setAttribute("aria-description", words);
  }

  function tipOf(target) {
    const place = target.closest && target.closest("[data-tip], [title], :has(> title)");
    if (!place || place === document.head) return "";
    const title = place.querySelector(":scope > title");
    if (title) {
      tipped(place, title.textContent);
      title.remove();
    } else if (place.title) {
      tipped(place, place.title);
      place.removeAttribute("title");
    }
    return place.dataset.tip || "";
  }

  let last = null;
  function show(event) {
    last = event;
    const words = tipOf(event.target);
    tip.hidden = !words;
    if (!words) return;
    tip.textContent = words;
    const { width, height } = tip.getBoundingClientRect();
    const right = document.documentElement.clientWidth - width - 8;
    const x = Math.max(8, Math.min(event.clientX + 12, right));
    const above = event.clientY - height - 14;
    const y = above > 4 ? above : event.clientY + 18;
    tip.style.transform = `translate(${x + scrollX}px, ${y + scrollY}px)`;
  }
  document.addEventListener("pointermove", show);
  document.addEventListener("pointerdown", show);
  // What is under a pointer that rests is another thing after the page has moved.
  document.addEventListener("scroll", () => {
    if (!last) return;
    const { clientX, clientY } = last;
    const target = document.elementFromPoint(clientX, clientY) || document.body;
    show({ target, clientX, clientY });
  }, { passive: true });

  function save(name, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  const style = document.getElementById("paper-style").textContent;
  for (const files of document.querySelectorAll(".files")) {
    const button = document.createElement("button");
    button.textContent = "SVG";
    button.setAttribute("aria-label", `SVG: ${files.dataset.title}`);
    button.addEventListener("click", () => {
      const drawing = files.closest("figure").querySelector("svg").cloneNode(true);
      const element = document.createElementNS("http://www.w3.org/2000/svg", "style");
      element.textContent = style;
      drawing.prepend(element);
      save(`${files.dataset.name}.svg`, new XMLSerializer().serializeToString(drawing));
    });
    files.prepend(button);
  }
})();
