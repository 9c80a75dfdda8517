// A learning-rate scrubber: `render` draws it into `el` from the numbers in `data`
// (`scrubber_data` in scrubber.py makes them). No framework, no network.

// The plot's geometry, in the units of its viewBox.
const WIDTH = 720;
const LEFT = 58;
const RIGHT = 708;
const TOP = 12;
const BOTTOM = 282;
const HEIGHT = 322;
const HALF_THUMB = 9;
// Told apart by the colour-blind, on white and on black.
const BLUE = "#2b8bd1";
const ORANGE = "#e06c15";

// Both colours are set: a host may have a dark page and no colour for text.
const STYLE = `
  .tl-scrubber { max-width: ${WIDTH}px; font: 13px/1.5 system-ui, sans-serif; padding: 4px;
    background: var(--jp-layout-color0, var(--colab-primary-surface-color, Canvas));
    color: var(--jp-content-font-color1, var(--colab-primary-text-color, CanvasText)) }
  .tl-scrubber svg { display: block; width: 100%; height: auto; overflow: hidden }
  .tl-scrubber svg text { fill: currentColor; font: 12px system-ui, sans-serif }
  .tl-scrubber .tl-stage { position: relative }
  .tl-scrubber .tl-moves { position: absolute; inset: 0; will-change: transform }
  .tl-scrubber .tl-says { display: flex; flex-wrap: wrap; gap: 0 1.6em; align-items: baseline;
    font-variant-numeric: tabular-nums }
  .tl-scrubber .tl-says b { font-size: 17px }
  .tl-scrubber .tl-spot { min-height: 1.5em; font-variant-numeric: tabular-nums; opacity: 0.8 }
  .tl-scrubber .tl-legend { display: flex; flex-wrap: wrap; gap: 0 1.6em; font-size: 12px;
    padding-left: ${LEFT}px }
  .tl-scrubber input[type=range] { width: 100%; margin: 4px 0 0; height: 22px; accent-color: ${BLUE} }
  .tl-scrubber button { font: inherit; color: inherit; background: none; padding: 2px 12px;
    border: 1px solid currentColor; border-radius: 5px; cursor: pointer; margin-right: 6px }
  .tl-scrubber button:hover, .tl-scrubber button[aria-pressed=true] {
    background: color-mix(in srgb, currentColor 15%, transparent) }
  .tl-scrubber :focus-visible { outline: 3px solid ${ORANGE}; outline-offset: 2px }
  .tl-scrubber .tl-verdict { min-height: 3em; margin-top: 4px }`;

function make(name, attributes = {}, text = "") {
  const isSvg = /^(svg|g|path|line|text|circle|clipPath|rect)$/.test(name);
  const node = isSvg ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return node;
}

function add(parent, name, attributes, text) {
  return parent.appendChild(make(name, attributes, text));
}

function asPercent(fraction) {
  return fraction === null ? "–" : `${(100 * fraction).toFixed(1)} %`;
}

function asLoss(loss) {
  if (loss === null) return "not a number";
  const digits = loss.toPrecision(3);  // 1.00, but 1230 and not 1.23e+3
  return Math.abs(loss) >= 1000 ? String(Number(digits)) : digits;
}

function asRate(lr) {
  return lr.toExponential(2).replace(/\.?0*e\+?/, "e");
}

function asError(error, interval) {
  if (error === null) return "–";
  const [low, high] = interval.map(end => Math.round(100 * end));
  return `${asPercent(error)} (95 % interval ${low} to ${high} %)`;
}

// Where steps and losses are in the plot, and learning rates along the slider.
function makeScales(data) {
  const steps = data.losses[0].length;
  const epochs = data.valid_losses[0].length;
  const last = data.lrs.length - 1;
  const height = loss => (data.log_axis ? Math.log(Math.max(loss, 1e-30)) : loss);
  const low = height(data.low);
  const high = height(data.high);
  return {
    steps, epochs, last,
    x: step => LEFT + (RIGHT - LEFT) * step / steps,
    y: loss => BOTTOM - (BOTTOM - TOP) * (height(loss) - low) / (high - low),
    endOf: epoch => steps * (epoch + 1) / epochs,
    // Ticks are equally far apart; between two of them the scale is logarithmic.
    along: lr => {
      const after = data.lrs.findIndex(tick => tick >= lr);
      if (after < 0) return WIDTH - HALF_THUMB;
      if (after === 0) return HALF_THUMB;
      const below = data.lrs[after - 1];
      const tick = after - 1 + Math.log(lr / below) / Math.log(data.lrs[after] / below);
      return HALF_THUMB + (WIDTH - 2 * HALF_THUMB) * tick / last;
    },
  };
}

// A path through losses; it ends for good where a loss is not a number.
function pathOf(losses, stepOf, scales) {
  const stop = losses.indexOf(null);
  const finite = stop < 0 ? losses : losses.slice(0, stop);
  return finite.map((loss, i) => {
    const y = Math.min(Math.max(scales.y(loss), -1e5), 1e5);
    return `${i ? "L" : "M"}${scales.x(stepOf(i)).toFixed(1)} ${y.toFixed(1)}`;
  }).join("");
}

// A running mean, so that many curves can be seen at once.
function smooth(losses) {
  let mean = 0;
  return losses.map((loss, i) => {
    if (loss === null) return null;
    mean = 0.9 * mean + 0.1 * loss;
    return mean / (1 - 0.9 ** (i + 1));
  });
}

// What stays: grid, labels, and the faint curves of all learning rates.
function drawBackground(svg, data, scales) {
  const label = (x, y, text, more = {}) => add(svg, "text", {x, y, ...more}, text);
  const grid = {stroke: "currentColor", "stroke-opacity": 0.2};
  for (const tick of data.ticks) {
    const y = scales.y(tick);
    add(svg, "line", {x1: LEFT, x2: RIGHT, y1: y, y2: y, ...grid});
    label(LEFT - 7, y + 4, String(tick), {"text-anchor": "end"});
  }
  for (let epoch = -1; epoch < scales.epochs; epoch += Math.ceil(scales.epochs / 10)) {
    const x = scales.x(scales.endOf(epoch));
    add(svg, "line", {x1: x, x2: x, y1: TOP, y2: BOTTOM, ...grid});
    label(x, BOTTOM + 17, Math.round(scales.endOf(epoch)), {"text-anchor": "middle"});
  }
  label((LEFT + RIGHT) / 2, BOTTOM + 35, "step (a vertical line ends an epoch)",
        {"text-anchor": "middle"});
  label(0, 0, data.log_axis ? "loss (log scale)" : "loss", {"text-anchor": "middle",
        transform: `translate(14 ${(TOP + BOTTOM) / 2}) rotate(-90)`});
  drawStart(svg, data, scales);
  const clip = `tl-clip-${Math.random().toString(36).slice(2)}`;
  add(add(svg, "clipPath", {id: clip}), "rect",
      {x: LEFT, y: TOP, width: RIGHT - LEFT + 6, height: BOTTOM - TOP});
  const field = add(svg, "g", {"clip-path": `url(#${clip})`, fill: "none",
                               "stroke-linejoin": "round"});
  for (const losses of data.losses) {
    add(field, "path", {d: pathOf(smooth(losses), i => i + 1, scales), stroke: "currentColor",
                        "stroke-opacity": 0.13});
  }
  return {field, clip};
}

// The validation loss before training, which every run should bring down.
function drawStart(svg, data, scales) {
  const y = scales.y(data.start_loss);
  add(svg, "line", {x1: LEFT, x2: RIGHT, y1: y, y2: y, stroke: ORANGE, "stroke-dasharray": "1 4"});
  add(svg, "text", {x: RIGHT, y: y - 4, "text-anchor": "end", style: `fill: ${ORANGE}`},
      `before training ${asLoss(data.start_loss)}`);
}

// What moves: the two curves of the chosen learning rate, their dots, and a guide.
function drawForeground(svg, data, scales, clip) {
  const chosen = add(svg, "g", {"clip-path": `url(#${clip})`, fill: "none",
                                "stroke-linejoin": "round"});
  const training = add(chosen, "path", {class: "tl-train", stroke: BLUE, "stroke-width": 1.8});
  const validation = add(chosen, "path", {class: "tl-valid", stroke: ORANGE,
                                          "stroke-width": 2.4, "stroke-dasharray": "7 4"});
  const dots = data.valid_losses[0].map(() => add(svg, "circle", {r: 4.5, fill: ORANGE}));
  const leaves = add(svg, "text", {y: TOP + 14, "text-anchor": "middle"}, "▲");
  const guide = add(svg, "line", {y1: TOP, y2: BOTTOM, stroke: "currentColor",
                                  "stroke-dasharray": "2 3", visibility: "hidden"});
  return {training, validation, dots, leaves, guide};
}

function drawLegend(el) {
  const legend = add(el, "div", {class: "tl-legend", "aria-hidden": "true"});
  add(legend, "span", {style: `color: ${BLUE}`}, "━ training loss, each step");
  add(legend, "span", {style: `color: ${ORANGE}`}, "╍ ● validation loss, each epoch");
  add(legend, "span", {style: "opacity: 0.6"}, "━ the other learning rates, smoothed");
}

// Powers of ten below the slider, and an arrow for each suggestion of lr_find.
function drawMarks(el, data, scales) {
  const words = data.suggestions.map(([name, lr]) => `${name} suggests ${asRate(lr)}`);
  const svg = add(el, "svg", {viewBox: `0 0 ${WIDTH} ${34 + 15 * data.suggestions.length}`,
    role: "img", "aria-label": words.join(". ") || "learning rates"});
  const lowest = Math.log10(data.lrs[0]);
  const highest = Math.log10(data.lrs[scales.last]);
  for (let power = Math.ceil(lowest - 1e-9); power <= highest + 1e-9; power++) {
    const x = scales.along(10 ** power * (1 - 1e-9));
    add(svg, "line", {x1: x, x2: x, y1: 0, y2: 5, stroke: "currentColor"});
    add(svg, "text", {x: Math.min(Math.max(x, 14), WIDTH - 14), y: 18, "text-anchor": "middle"},
        `1e${power}`);
  }
  const arrows = add(svg, "g");
  data.suggestions.forEach(([name, lr], i) => {
    const x = scales.along(lr);
    const y = 32 + 15 * i;
    const isRight = x > WIDTH * 0.7;
    add(arrows, "line", {x1: x, x2: x, y1: 0, y2: y - 8, stroke: ORANGE, "stroke-width": 1.5});
    add(arrows, "path", {d: `M${x} 0l-5 -8h10z`, fill: ORANGE, transform: "translate(0 8)"});
    const left = lr < data.lrs[0] ? "← " : "";
    const right = lr > data.lrs[scales.last] ? " →" : "";
    add(arrows, "text", {x: x + (isRight ? -5 : 5), y, "text-anchor": isRight ? "end" : "start"},
        `${left}${name} ${asRate(lr)}${right}`);
  });
  return arrows;
}

// The quiz: a box that hides the curves, three answers, a verdict.
function drawQuiz(el, isHidden) {
  const keys = {"data-lm-suppress-shortcuts": "true"};
  const quiz = add(el, "div", {role: "group", "aria-label": "Predict, then check"});
  const hide = add(add(quiz, "label"), "input", {type: "checkbox", ...keys});
  hide.checked = isHidden;
  hide.after(" Hide the curves. ");
  add(quiz, "span", {}, "This learning rate is ");
  const buttons = ["too low", "good", "too high"].map(answer =>
    add(quiz, "button", {type: "button", "aria-pressed": "false", ...keys}, answer));
  const reveal = add(quiz, "button", {type: "button", ...keys}, "show");
  const verdict = add(el, "div", {class: "tl-verdict", role: "status"});
  return {hide, buttons, reveal, verdict};
}

// What a run led to, in words.
function outcome(i, data) {
  const end = data.valid_losses[i].length - 1;
  return `after ${end + 1} epochs: validation loss ${asLoss(data.valid_losses[i][end])}, `
    + `error rate ${asError(data.error_rates[i][end], data.intervals[i])}`;
}

// The curves of a run, or none where it may not be seen.
function drawCurves(i, isSeen, data, scales, parts) {
  const valid = data.valid_losses[i];
  parts.training.setAttribute("d", isSeen ? pathOf(data.losses[i], s => s + 1, scales) : "");
  parts.validation.setAttribute("d", isSeen ? pathOf(valid, scales.endOf, scales) : "");
  parts.field.style.visibility = isSeen ? "visible" : "hidden";
  parts.arrows.style.visibility = isSeen ? "visible" : "hidden";
  parts.guide.setAttribute("visibility", "hidden");
  parts.dots.forEach((dot, epoch) => {
    const isInside = isSeen && valid[epoch] !== null && valid[epoch] <= data.high;
    dot.setAttribute("visibility", isInside ? "visible" : "hidden");
    if (!isInside) return;
    dot.setAttribute("cx", scales.x(scales.endOf(epoch)));
    dot.setAttribute("cy", scales.y(valid[epoch]));
  });
}

// Everything that depends on the chosen learning rate `i` and on whether it may be seen.
function update(i, isSeen, data, scales, parts) {
  const passes = data.losses[i].findIndex(loss => loss === null || loss > data.high);
  const isGone = isSeen && passes >= 0;
  const name = `learning rate ${data.names[i]}`;
  drawCurves(i, isSeen, data, scales, parts);
  parts.slider.setAttribute("aria-valuetext", name);
  parts.rate.textContent = name;
  parts.result.textContent = isSeen ? outcome(i, data) : "What will come of it? Answer below.";
  parts.leaves.setAttribute("visibility", isGone ? "visible" : "hidden");
  parts.leaves.setAttribute("x", scales.x(passes + 1));
  parts.spot.textContent = isGone ? `▲ The loss leaves the plot at step ${passes + 1}.`
    : isSeen ? "Point at a curve to read a step's loss." : "";
  parts.plot.setAttribute("aria-label", `Training and validation loss at ${name}, over the faint `
    + `curves of the ${scales.last} other learning rates. ${parts.result.textContent}`);
}

// An answer, compared with both verdicts.
function judge(answer, [byLoss, byError, why]) {
  const right = answer === byLoss ? "Right" : answer === byError ? "Right by error rate only"
    : "Not quite";
  const truth = byLoss === byError ? `${byLoss}, by loss and by error rate`
    : `${byLoss} by loss, but ${byError} by error rate. They disagree`;
  return `${right}: ${truth}. ${why}`;
}

// The step under the pointer, in words.
function pointAt(event, i, data, scales, parts) {
  const box = parts.plot.getBoundingClientRect();
  const x = (event.clientX - box.left) * WIDTH / box.width;
  const nearest = Math.round((x - LEFT) / (RIGHT - LEFT) * scales.steps);
  const step = Math.min(Math.max(nearest, 1), scales.steps);
  const epoch = data.valid_losses[i].findIndex((_, e) => Math.round(scales.endOf(e)) === step);
  parts.guide.setAttribute("visibility", "visible");
  parts.guide.setAttribute("x1", scales.x(step));
  parts.guide.setAttribute("x2", scales.x(step));
  const validation = epoch < 0 ? "" : `, validation loss ${asLoss(data.valid_losses[i][epoch])}, `
    + `error rate ${asPercent(data.error_rates[i][epoch])}`;
  parts.spot.textContent = `step ${step}: training loss ${asLoss(data.losses[i][step - 1])}`
    + validation;
}

function render({data, el}) {
  const scales = makeScales(data);
  el.replaceChildren();
  el.tlIsLive = true;  // a property: a copy of the element does not have it
  add(el, "style", {}, STYLE);
  const says = add(el, "div", {class: "tl-says"});
  const rate = add(says, "b");
  const result = add(says, "span");
  const spot = add(el, "div", {class: "tl-spot"});
  // What moves lies on what stays, in a layer of its own: a tick need not paint 64 curves again.
  const stage = add(el, "div", {class: "tl-stage"});
  const viewBox = `0 0 ${WIDTH} ${HEIGHT}`;
  const plot = add(stage, "svg", {class: "tl-moves", viewBox, role: "img"});
  const back = add(stage, "svg", {viewBox, "aria-hidden": "true"});
  const {field, clip} = drawBackground(back, data, scales);
  drawLegend(el);
  const slider = add(el, "input", {type: "range", min: 0, max: scales.last, step: 1,
    "aria-label": "learning rate", "data-lm-suppress-shortcuts": "true"});
  slider.value = data.start ?? Math.floor(Math.random() * data.lrs.length);
  const arrows = drawMarks(el, data, scales);
  const quiz = drawQuiz(el, data.quiz);
  const parts = {slider, rate, result, spot, plot, field, arrows,
                 ...drawForeground(plot, data, scales, clip)};
  connect(data, scales, parts, quiz);
}

// What a move, a key, an answer and the pointer do.
function connect(data, scales, parts, quiz) {
  let isSeen = true;
  const show = () => update(+parts.slider.value, isSeen, data, scales, parts);
  const ask = () => {
    isSeen = !quiz.hide.checked;
    quiz.verdict.textContent = "";
    quiz.buttons.forEach(button => button.setAttribute("aria-pressed", false));
    show();
  };
  const reveal = () => {
    isSeen = true;
    show();
  };
  const check = event => {
    reveal();
    quiz.buttons.forEach(button =>
      button.setAttribute("aria-pressed", button === event.currentTarget));
    quiz.verdict.textContent = judge(event.currentTarget.textContent,
                                     data.verdicts[+parts.slider.value]);
  };
  parts.slider.addEventListener("input", ask);
  quiz.hide.addEventListener("change", ask);
  quiz.buttons.forEach(button => button.addEventListener("click", check));
  quiz.reveal.addEventListener("click", reveal);
  parts.plot.addEventListener("pointermove", event => {
    if (isSeen) pointAt(event, +parts.slider.value, data, scales, parts);
  });
  parts.plot.addEventListener("pointerleave", show);
  ask();
}
