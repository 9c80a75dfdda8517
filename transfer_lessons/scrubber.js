// Draws a learning-rate scrubber into `el` from the numbers in `data` (see `scrubber_data`).
function render({data, el}) {
  const WIDTH = 720, LEFT = 52, RIGHT = 708, TOP = 12, BOTTOM = 282, EDGE = 9; // EDGE: half a thumb
  const BLUE = "#2b8bd1", ORANGE = "#e06c15";  // told apart by the colour-blind, on white and black
  const make = (name, attributes = {}, text = "") => {
    const svg = /^(svg|g|path|line|text|circle|clipPath|rect)$/.test(name);
    const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name)
      : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.textContent = text;
    return node;
  };
  const add = (parent, ...rest) => parent.appendChild(make(...rest));
  const percent = share => share === null ? "–" : `${(100 * share).toFixed(1)} %`;
  const name = lr => lr.toExponential(2).replace(/\.?0*e\+?/, "e");
  const shown = loss => loss === null ? "no number any more" : String(loss);

  // Where a step and a loss are in the plot, and a rate along the slider.
  const steps = data.losses[0].length, epochs = data.valid_losses[0].length;
  const x = step => LEFT + (RIGHT - LEFT) * step / steps;
  const y = loss => BOTTOM - (BOTTOM - TOP) * Math.max(loss, -1) / data.top;
  const last = data.lrs.length - 1;
  const along = lr => {  // ticks are equally far apart, and between two of them the scale is even
    const after = data.lrs.findIndex(tick => tick >= lr);
    if (after <= 0) return after < 0 ? WIDTH - EDGE : EDGE;
    const [low, high] = [data.lrs[after - 1], data.lrs[after]];
    const tick = after - 1 + Math.log(lr / low) / Math.log(high / low);
    return EDGE + (WIDTH - 2 * EDGE) * tick / last;
  };
  const end_of = epoch => steps * (epoch + 1) / epochs;
  const line = (losses, place) => {  // stops for good where the loss is no number any more
    const stop = losses.indexOf(null);
    return losses.slice(0, stop < 0 ? undefined : stop).map((loss, i) =>
      `${i ? "L" : "M"}${x(place(i)).toFixed(1)} ${Math.max(y(loss), -1e6).toFixed(1)}`).join("");
  };
  const smooth = losses => {  // a running mean, so that many curves can be seen at once
    let mean = 0;
    return losses.map((loss, i) => loss === null ? null
      : (mean = 0.9 * mean + 0.1 * loss) / (1 - 0.9 ** (i + 1)));
  };

  // The frame: words, plot, slider, prediction.
  el.replaceChildren();
  el.dataset.live = "yes";
  add(el, "style", {}, `
    .tl-scrubber { max-width: ${WIDTH}px; font: 13px/1.5 system-ui, sans-serif; color: inherit }
    .tl-scrubber svg { display: block; width: 100%; height: auto; overflow: hidden }
    .tl-scrubber svg text { fill: currentColor; font: 12px system-ui, sans-serif }
    .tl-scrubber .tl-stage { position: relative }
    .tl-scrubber .tl-moves { position: absolute; inset: 0; will-change: transform }
    .tl-scrubber .tl-says { display: flex; flex-wrap: wrap; gap: 0 1.6em; align-items: baseline;
      font-variant-numeric: tabular-nums }
    .tl-scrubber .tl-says b { font-size: 17px }
    .tl-scrubber .tl-spot { min-height: 1.5em; font-variant-numeric: tabular-nums; opacity: 0.8 }
    .tl-scrubber input[type=range] { width: 100%; margin: 4px 0 0; height: 22px; accent-color: ${BLUE} }
    .tl-scrubber button { font: inherit; color: inherit; background: none; padding: 2px 12px;
      border: 1px solid currentColor; border-radius: 5px; cursor: pointer; margin-right: 6px }
    .tl-scrubber button:hover, .tl-scrubber button[aria-pressed=true] {
      background: color-mix(in srgb, currentColor 15%, transparent) }
    .tl-scrubber :focus-visible { outline: 3px solid ${ORANGE}; outline-offset: 2px }
    .tl-scrubber .tl-verdict { min-height: 3em; margin-top: 4px }`);
  const says = add(el, "div", {class: "tl-says"});
  const [rate, result] = ["b", "span"].map(name => add(says, name));
  const spot = add(el, "div", {class: "tl-spot"});
  // What moves lies on what stays, as a layer of its own: a tick need not paint 64 curves again.
  const stage = add(el, "div", {class: "tl-stage"}), viewBox = `0 0 ${WIDTH} 322`;
  const plot = add(stage, "svg", {class: "tl-moves", viewBox, role: "img"});
  const back = add(stage, "svg", {viewBox, "aria-hidden": "true"});
  const clip = `tl-clip-${Math.random().toString(36).slice(2)}`;
  add(add(back, "clipPath", {id: clip}), "rect",
      {x: LEFT, y: TOP, width: RIGHT - LEFT + 6, height: BOTTOM - TOP});
  const axis = {stroke: "currentColor", "stroke-opacity": 0.2};
  const words = (px, py, text, more = {}) => add(back, "text", {x: px, y: py, ...more}, text);
  for (let i = 0; i <= data.top / data.tick; i++) {
    const at = y(i * data.tick);
    add(back, "line", {x1: LEFT, x2: RIGHT, y1: at, y2: at, ...axis});
    words(LEFT - 7, at + 4, +(i * data.tick).toFixed(3), {"text-anchor": "end"});
  }
  for (let epoch = -1; epoch < epochs; epoch += Math.ceil(epochs / 10)) {
    const at = x(end_of(epoch));
    add(back, "line", {x1: at, x2: at, y1: TOP, y2: BOTTOM, ...axis});
    words(at, BOTTOM + 17, Math.round(end_of(epoch)), {"text-anchor": "middle"});
  }
  words((LEFT + RIGHT) / 2, BOTTOM + 35, `step (a line ends an epoch)`, {"text-anchor": "middle"});
  words(0, 0, "loss", {"text-anchor": "middle",
    transform: `translate(14 ${(TOP + BOTTOM) / 2}) rotate(-90)`});
  const field = add(back, "g", {"clip-path": `url(#${clip})`, fill: "none",
    "stroke-linejoin": "round"});
  for (const losses of data.losses) {
    add(field, "path", {d: line(smooth(losses), i => i + 1), stroke: "currentColor",
      "stroke-opacity": 0.13});
  }
  const chosen = add(plot, "g", {"clip-path": `url(#${clip})`, fill: "none",
    "stroke-linejoin": "round"});
  const training = add(chosen, "path", {class: "tl-train", stroke: BLUE, "stroke-width": 1.8});
  const validation = add(chosen, "path", {class: "tl-valid", stroke: ORANGE, "stroke-width": 2.4,
    "stroke-dasharray": "7 4"});
  const dots = data.valid_losses[0].map(() => add(plot, "circle", {r: 4.5, fill: ORANGE}));
  const left_at = add(plot, "text", {y: TOP + 14, "text-anchor": "middle", "font-weight": "bold"});
  const guide = add(plot, "line", {y1: TOP, y2: BOTTOM, stroke: "currentColor",
    "stroke-dasharray": "2 3", visibility: "hidden"});
  const key = add(plot, "g");
  const legend = [["training loss, each step", BLUE, ""],
    ["validation loss, each epoch", ORANGE, "7 4"],
    ["training loss at the other rates, smoothed", "currentColor", ""]];
  legend.forEach(([text, stroke, dashes], i) => {
    const at = TOP + 12 + 18 * i, faint = i === 2 ? 0.3 : 1;
    add(key, "line", {x1: RIGHT - 282, x2: RIGHT - 254, y1: at, y2: at, stroke,
      "stroke-width": 2.2, "stroke-dasharray": dashes, "stroke-opacity": faint});
    add(key, "text", {x: RIGHT - 246, y: at + 4}, text);
  });

  const slider = add(el, "input", {type: "range", min: 0, max: last, step: 1,
    "aria-label": "learning rate", "data-lm-suppress-shortcuts": "true"});
  slider.value = data.start;
  const marks = add(el, "svg", {viewBox: `0 0 ${WIDTH} ${34 + 15 * data.suggestions.length}`,
    role: "img", "aria-label": data.suggestions.map(([rule, lr]) =>
      `The rule ${rule} suggests ${name(lr)}`).join(". ") || "learning rates"});
  const [lowest, highest] = [data.lrs[0], data.lrs[last]].map(Math.log10);
  for (let power = Math.ceil(lowest - 1e-9); power <= highest + 1e-9; power++) {
    const at = along(10 ** power * (1 - 1e-9));
    add(marks, "line", {x1: at, x2: at, y1: 0, y2: 5, stroke: "currentColor"});
    add(marks, "text", {x: Math.min(Math.max(at, 14), WIDTH - 14), y: 18, "text-anchor": "middle"},
        `1e${power}`);
  }
  data.suggestions.forEach(([rule, lr], i) => {
    const at = along(lr), low = 32 + 15 * i;
    const before = at > WIDTH * 0.7;
    add(marks, "line", {x1: at, x2: at, y1: 0, y2: low - 8, stroke: ORANGE, "stroke-width": 1.5});
    add(marks, "path", {d: `M${at} 0l-5 -8h10z`, fill: ORANGE, transform: "translate(0 8)"});
    add(marks, "text", {x: at + (before ? -5 : 5), y: low,
      "text-anchor": before ? "end" : "start"},
        `${lr < data.lrs[0] ? "← " : ""}${rule} ${name(lr)}${lr > data.lrs[last] ? " →" : ""}`);
  });

  const quiz = add(el, "div", {role: "group", "aria-label": "Predict, then check"});
  const hide = add(add(quiz, "label"), "input", {type: "checkbox",
    "data-lm-suppress-shortcuts": "true"});
  hide.after(" Hide the curves: first predict, then check. ");
  add(quiz, "span", {}, "This rate is ");
  const answers = ["too low", "good", "too high"].map(answer => {
    const button = add(quiz, "button", {type: "button", "aria-pressed": "false",
      "data-lm-suppress-shortcuts": "true"}, answer);
    button.onclick = () => check(answer);
    return button;
  });
  const verdict = add(el, "div", {class: "tl-verdict", role: "status"});

  // What changes.
  let i = data.start, seen = true;
  const show = () => {
    i = +slider.value;
    const valid = data.valid_losses[i], gone = data.losses[i].findIndex(
      loss => loss === null || loss > data.top);
    slider.setAttribute("aria-valuetext", `learning rate ${data.names[i]}`);
    rate.textContent = `learning rate ${data.names[i]}`;
    result.textContent = seen ? `after ${epochs} epochs: validation loss ${
      shown(valid[epochs - 1])}, error ${percent(data.error_rates[i][epochs - 1])}`
      : "What will come of it? Answer below.";
    training.setAttribute("d", seen ? line(data.losses[i], step => step + 1) : "");
    validation.setAttribute("d", seen ? line(valid, end_of) : "");
    field.style.visibility = seen ? "visible" : "hidden";
    dots.forEach((dot, epoch) => {
      const inside = seen && valid[epoch] !== null && valid[epoch] <= data.top;
      dot.setAttribute("visibility", inside ? "visible" : "hidden");
      if (!inside) return;
      dot.setAttribute("cx", x(end_of(epoch)));
      dot.setAttribute("cy", y(valid[epoch]));
    });
    left_at.textContent = seen && gone >= 0 ? `▲ passes ${data.top} at step ${gone + 1}` : "";
    left_at.setAttribute("x", Math.min(Math.max(x(gone + 1), LEFT + 90), RIGHT - 90));
    key.style.visibility = left_at.textContent ? "hidden" : "visible";
    plot.setAttribute("aria-label", `Training and validation loss at learning rate ${
      data.names[i]}, over the faint curves of the ${last} other rates. ${
      result.textContent}`);
    guide.setAttribute("visibility", "hidden");
    spot.textContent = seen ? "Point at a curve to read a step's loss." : "";
  };
  const check = answer => {
    const [truth, why] = data.verdicts[i];
    seen = true;
    show();
    answers.forEach(button => button.setAttribute("aria-pressed", button.textContent === answer));
    verdict.textContent = `${answer === truth ? "Right" : "Not quite"}: ${truth}. ${why}`;
  };
  const ask = () => {
    seen = !hide.checked;
    verdict.textContent = "";
    answers.forEach(button => button.setAttribute("aria-pressed", false));
    show();
  };
  slider.addEventListener("input", ask);
  hide.addEventListener("change", ask);
  plot.addEventListener("pointermove", event => {
    const box = plot.getBoundingClientRect();
    const place = (event.clientX - box.left) * WIDTH / box.width;
    const step = Math.min(Math.max(Math.round((place - LEFT) / (RIGHT - LEFT) * steps), 1), steps);
    const epoch = data.valid_losses[i].findIndex((_, at) => Math.round(end_of(at)) === step);
    if (!seen) return;
    guide.setAttribute("visibility", "visible");
    guide.setAttribute("x1", x(step));
    guide.setAttribute("x2", x(step));
    spot.textContent = `step ${step}: training loss ${shown(data.losses[i][step - 1])}`
      + (epoch < 0 ? "" : `, validation loss ${shown(data.valid_losses[i][epoch])}, error ${
        percent(data.error_rates[i][epoch])}`);
  });
  plot.addEventListener("pointerleave", show);
  ask();
}
