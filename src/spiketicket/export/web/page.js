"use strict";
(async () => {
  const $ = (id) => document.getElementById(id);
  const model = JSON.parse($("model").textContent);
  const [T, C, H, W] = model.shape;
  const events = model.framing !== null;
  const number = (v, digits) => v.toLocaleString("en", { maximumFractionDigits: digits });

  function trouble(text) {
    $("trouble").textContent = text;
    $("trouble").hidden = !text;
  }

  function bytesOf(text) {
    const letters = atob(text), out = new Uint8Array(letters.length);
    for (let i = 0; i < out.length; i++) out[i] = letters.charCodeAt(i);
    return out;
  }

  /* ---- the engine */

  let engine;
  try {
    engine = (await WebAssembly.instantiate(bytesOf(model.engine), {})).instance.exports;
  } catch (error) {
    trouble(`This browser cannot run the engine (WebAssembly with SIMD): ${error.message}`);
    return;
  }
  const floats = (at, count) => new Float32Array(engine.memory.buffer, at, count);
  const program = bytesOf(model.program), place = engine.web_room(program.length);
  new Uint8Array(engine.memory.buffer, place, program.length).set(program);
  if (!place || !engine.web_open(place, program.length)) {
    const bytes = new Uint8Array(engine.memory.buffer), at = engine.web_error();
    trouble(`The program is refused: ${String.fromCharCode(...bytes.subarray(at, bytes.indexOf(0, at)))}`);
    return;
  }
  const values = T * C * H * W, classes = model.classes.length;
  const x = engine.web_room(4 * values), y = engine.web_room(4 * classes);
  const shape = engine.web_room(20);

  /* Whole numbers [T][C][H][W] become what the engine takes, rounded as in the package. */
  function put(counts) {
    const to = floats(x, values), size = H * W;
    for (let i = 0; i < values; i++) {
      const c = Math.floor(i / size) % C;
      to[i] = Math.fround(Math.fround(counts[i] * model.scale[c]) + model.shift[c]);
    }
  }

  function run(counts) {
    put(counts);
    if (!engine.web_run(x, y)) throw new Error("the engine has no memory for this network");
    return floats(y, classes).slice();
  }

  function register(index) {
    engine.web_shape(index, shape);
    const [, s, c, h, w] = new Uint32Array(engine.memory.buffer, shape, 5).slice();
    const out = engine.web_room(4 * s * c * h * w);
    engine.web_register(index, out);
    const found = floats(out, s * c * h * w).slice();
    engine.web_free(out);
    return { s, size: c * h * w, found };
  }

  /* ---- what was decided */

  const rows = model.classes.map((name) => {
    const row = $("classes").tBodies[0].insertRow();
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    row.append(head);
    const cell = row.insertCell(), bar = document.createElement("span");
    bar.className = "bar";
    row.insertCell().append(bar);
    return { row, cell, bar };
  });

  function showLogits(logits) {
    const best = logits.indexOf(Math.max(...logits));
    const low = Math.min(...logits), range = Math.max(...logits) - low || 1;
    rows.forEach(({ row, cell, bar }, i) => {
      row.className = i === best ? "best" : "";
      cell.textContent = logits[i].toFixed(3);
      bar.style.width = `${100 * (logits[i] - low) / range}%`;
    });
    if ($("answer").textContent !== model.classes[best]) $("answer").textContent = model.classes[best];
  }

  const facts = new Map();
  function fact(name, text) {
    if (!facts.has(name)) {
      const box = document.createElement("div"), term = document.createElement("dt");
      term.textContent = name;
      facts.set(name, document.createElement("dd"));
      box.append(term, facts.get(name));
      $("facts").append(box);
    }
    facts.get(name).textContent = text;
  }

  function showCost() {
    let adds = 0, real = 0, picojoules = 0;
    for (const layer of model.synapses) {
      const count = engine.web_count(layer.op);
      if (layer.real) real += count;
      else adds += count;
      picojoules += count * (layer.real ? layer.mac : layer.ac);
    }
    fact("synaptic operations", `${number(adds, 0)} additions of spikes`
      + (real ? `, ${number(real, 0)} of real values` : ""));
    fact("energy of them, counted", `${number(picojoules / 1e6, 3)} µJ by the table ${model.table}`);
  }

  const layers = model.neurons.map((neuron) => {
    const figure = document.createElement("figure"), canvas = document.createElement("canvas");
    const caption = document.createElement("figcaption");
    figure.className = "layer";
    canvas.setAttribute("role", "img");
    figure.append(caption, canvas);
    $("layers").append(figure);
    return { neuron, canvas, caption };
  });

  function showLayer({ neuron, canvas, caption }) {
    const { s, size, found } = register(neuron.register), columns = Math.min(size, 512);
    canvas.width = columns;
    canvas.height = s;
    const sums = new Float32Array(s * columns), counts = new Float32Array(columns);
    for (let i = 0; i < size; i++) counts[Math.floor(i * columns / size)]++;
    let spikes = 0;
    found.forEach((v, i) => {
      const column = Math.floor(i % size * columns / size);
      spikes += v;
      sums[Math.floor(i / size) * columns + column] += v / counts[column];
    });
    const context = canvas.getContext("2d"), image = context.createImageData(columns, s);
    sums.forEach((v, i) => image.data.set([88 * v + 12, 191 * v + 12, 224 * v + 12, 255], 4 * i));
    context.putImageData(image, 0, 0);
    const text = `${neuron.name}: ${number(100 * spikes / found.length, 1)} % of ${number(size, 0)}`
      + ` neurons × ${s} time step${s > 1 ? "s" : ""} spike`;
    caption.textContent = text;
    canvas.setAttribute("aria-label", text);
  }

  const times = [];
  function decide(counts) {
    const from = performance.now();
    const logits = run(counts);
    times.push(performance.now() - from);
    if (times.length > 20) times.shift();
    showLogits(logits);
    const median = [...times].sort((a, b) => a - b)[times.length >> 1];
    fact("time of a decision", `${number(median, 2)} ms here, median of ${times.length}`);
    if (!engine.web_look(x)) return;
    showCost();
    layers.forEach(showLayer);
  }

  /* ---- pictures */

  const field = $("field"), pen = field.getContext("2d", { willReadFrequently: true });
  const small = document.createElement("canvas");
  small.width = W;
  small.height = H;
  const brush = small.getContext("2d", { willReadFrequently: true });
  let drawn = true; // or a picture from a file, in `small` already

  function bounds() {
    const { width, height } = field, data = pen.getImageData(0, 0, width, height).data;
    let [left, top, right, bottom] = [width, height, 0, 0];
    for (let i = 0; i < data.length; i += 4) {
      if (!(data[i] | data[i + 1] | data[i + 2])) continue;
      const column = i / 4 % width, row = Math.floor(i / 4 / width);
      [left, right] = [Math.min(left, column), Math.max(right, column + 1)];
      [top, bottom] = [Math.min(top, row), Math.max(bottom, row + 1)];
    }
    return right > left ? [left, top, right - left, bottom - top] : null;
  }

  /* The mean of what lies under each pixel: [x, y, width, height] of the field. */
  function shrink([left, top, width, height]) {
    const data = pen.getImageData(0, 0, field.width, field.height).data;
    const image = brush.createImageData(W, H), AT = 8;
    for (let i = 0; i < W * H; i++) {
      const sum = [0, 0, 0];
      for (let k = 0; k < AT * AT; k++) {
        const column = Math.floor(left + (i % W + (k % AT + .5) / AT) * width / W);
        const row = Math.floor(top + (Math.floor(i / W) + (Math.floor(k / AT) + .5) / AT) * height / H);
        if (column < 0 || row < 0 || column >= field.width || row >= field.height) continue;
        for (let c = 0; c < 3; c++) sum[c] += data[4 * (row * field.width + column) + c];
      }
      image.data.set([...sum.map((v) => Math.round(v / AT / AT)), 255], 4 * i);
    }
    brush.putImageData(image, 0, 0);
  }

  function pixels() {
    const data = brush.getImageData(0, 0, W, H).data, out = new Uint8Array(values);
    for (let i = 0; i < H * W; i++) {
      const [r, g, b] = data.subarray(4 * i, 4 * i + 3);
      if (C === 3) [out[i], out[H * W + i], out[2 * H * W + i]] = [r, g, b];
      else out[i] = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16; // as Pillow
    }
    return out;
  }

  function seePicture() {
    if (drawn) {
      const box = $("fit").checked && bounds();
      if (box) { // as wide as it is high where it is narrow: a 1 is not to fill the field
        const [left, top, width, height] = box, wide = Math.max(width, height * .6);
        shrink([left - (wide - width) / 2, top, wide, height]);
      } else shrink([0, 0, field.width, field.height]);
    }
    decide(pixels());
  }

  function clear() {
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, field.width, field.height);
    drawn = true;
  }

  let waits = false;
  function soon(what) {
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => { waits = false; attempt(what); });
  }

  function stroke(from, to) {
    if (!drawn) clear();
    pen.strokeStyle = C === 3 ? $("colour").value : "#fff";
    pen.lineWidth = field.width / 9;
    pen.lineCap = "round";
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(to[0] + .01, to[1]);
    pen.stroke();
    soon(seePicture);
  }

  function draws() {
    const at = (event) => {
      const box = field.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top].map((v) => v * field.width / box.width);
    };
    let last = null;
    field.addEventListener("pointerdown", (event) => {
      field.setPointerCapture(event.pointerId);
      last = at(event);
      stroke(last, last);
    });
    field.addEventListener("pointermove", (event) => {
      if (last) stroke(last, last = at(event));
    });
    for (const end of ["pointerup", "pointercancel"]) field.addEventListener(end, () => { last = null; });
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    let here = [field.width / 2, field.height / 4], down = true;
    field.addEventListener("keydown", (event) => {
      const move = moves[event.key];
      if (event.key === " ") down = !down;
      else if (move) {
        const next = here.map((v, i) => Math.min(field.width - 8, Math.max(8, v + move[i] * 16)));
        if (down) stroke(here, next);
        here = next;
      } else return;
      event.preventDefault();
      $("source").textContent = `Pen ${down ? "down" : "up"} at ${here.map(Math.round).join(", ")}.`;
    });
    $("clear").addEventListener("click", () => { clear(); soon(seePicture); });
    $("fit").addEventListener("change", () => soon(seePicture));
  }

  async function openPicture(file) {
    const image = await createImageBitmap(file, { colorSpaceConversion: "none" });
    const scale = Math.max(W / image.width, H / image.height);
    const [wide, high] = [W / scale, H / scale];
    brush.fillStyle = "#000";
    brush.fillRect(0, 0, W, H);
    brush.imageSmoothingQuality = "high";
    brush.imageSmoothingEnabled = scale !== 1;
    brush.drawImage(image, (image.width - wide) / 2, (image.height - high) / 2, wide, high, 0, 0, W, H);
    drawn = false;
    pen.imageSmoothingEnabled = false;
    pen.drawImage(small, 0, 0, field.width, field.height);
    $("source").textContent = `${file.name}, ${image.width}x${image.height}`
      + (scale === 1 && image.width === W && image.height === H ? "."
        : ": cut and scaled by the browser, not to the bit as the program does it.");
    seePicture();
  }

  /* ---- recordings */

  let recording = null, playing = null;

  function seeRecording() {
    const e = recording, n = e.t.length, end = e.t[n - 1];
    const until = end * Number($("time").value) / 1000;
    let shown = n;
    if (until < end) {
      let [low, high] = [0, n];
      while (low < high) {
        const middle = low + high >> 1;
        if (e.t[middle] <= until) low = middle + 1;
        else high = middle;
      }
      shown = low;
    }
    $("clock").textContent = `${number(until / 1000, 0)} of ${number(end / 1000, 0)} ms`;
    const image = pen.createImageData(e.width, e.height);
    for (let i = 3; i < image.data.length; i += 4) image.data[i] = 255;
    const since = Math.max(0, until - Math.max(end / 12, 1000));
    for (let i = shown - 1; i >= 0 && e.t[i] >= since; i--) {
      image.data.set(e.p[i] ? [240, 138, 60] : [61, 143, 209], 4 * (e.y[i] * e.width + e.x[i]));
    }
    pen.putImageData(image, 0, 0);
    decide(recordings.frames(e, model.framing, shown));
  }

  function take(name, e) {
    if (e.width * e.height > 1 << 24) throw new Error("its sensor is too large");
    recordings.frames(e, model.framing, 0); // refuses another sensor
    recording = e;
    [field.width, field.height] = [e.width, e.height];
    $("time").value = 1000;
    $("source").textContent = `${name}: ${number(e.t.length, 0)} events of ${e.width}x${e.height} pixels`
      + (e.outside ? `, ${e.outside} outside it are left out.` : ".");
    $("player").hidden = false;
    seeRecording();
  }

  function stop() {
    cancelAnimationFrame(playing);
    playing = null;
    $("play").textContent = "Play";
  }

  function plays() {
    $("time").addEventListener("input", () => { stop(); soon(seeRecording); });
    $("play").addEventListener("click", () => {
      if (playing) { stop(); return; }
      const from = performance.now(), length = Math.max(recording.t[recording.t.length - 1] / 1000, 1000);
      const next = (now) => {
        const part = Math.min(1, Math.max(0, (now - from) / length));
        $("time").value = Math.round(1000 * part);
        attempt(seeRecording);
        if (part < 1) playing = requestAnimationFrame(next);
        else stop();
      };
      $("play").textContent = "Stop";
      playing = requestAnimationFrame(next);
    });
  }

  async function openRecording(file) {
    stop();
    take(file.name, recordings.read(file.name, new Uint8Array(await file.arrayBuffer()), model.sensor));
  }

  /* ---- the page */

  async function attempt(what) {
    try {
      trouble("");
      await what();
    } catch (error) {
      trouble(error.message);
    }
  }

  async function open(file) {
    const what = events ? openRecording : openPicture;
    await attempt(() => what(file).catch((error) => {
      throw new Error(`${file.name} cannot be read: ${error.message}`);
    }));
  }

  $("file").accept = events ? ".bin,.dat,.raw" : "image/*";
  $("file").addEventListener("change", (event) => event.target.files[0] && open(event.target.files[0]));
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      field.classList.toggle("over", kind === "dragover" || kind === "dragenter");
      if (kind === "drop" && event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
    });
  }

  document.title = `${model.name} – spiketicket`;
  $("title").textContent = model.name;
  $("what").textContent = `A spiking neural network that classifies ${events ? "recordings of an event camera"
    : "pictures"}, computed in this page: nothing is sent anywhere.`;
  $("notes").textContent = `${model.notes} Times are of this browser on this machine. Energy is`
    + ` arithmetic, counted on this input times ${model.assumes} (45 nm): no memory, no membrane`
    + " updates, no idle power, and measured on no hardware.";
  fact("weights that are zero", `${number(100 * model.zeros / model.weights, 1)} % of ${number(model.weights, 0)}`);
  fact("size", `program ${number(program.length / 1024, 0)} KiB, engine ${number(bytesOf(model.engine).length / 1024, 0)} KiB`);
  if (events) {
    $("how").textContent = "Drop a recording, or choose a file: .bin (5-byte events, as N-MNIST), .dat"
      + " (Prophesee) or .raw (Prophesee, EVT2 only). Orange is ON, blue is OFF. Before the end of the"
      + " time bar, the answer is of the events so far.";
    field.setAttribute("role", "img");
    field.removeAttribute("tabindex");
    field.setAttribute("aria-label", "The events of the recording around the time of the time bar");
    plays();
    if (model.sample) {
      const { events: text, name, sensor } = model.sample;
      await attempt(() => take(name, recordings.words(bytesOf(text), 0, sensor)));
    }
  } else {
    $("how").textContent = "Draw here, by pointer or by the arrow keys (the space bar lifts the pen), drop"
      + ` a picture, or choose a file. The network sees ${W}x${H} pixels.`;
    field.setAttribute("aria-label", "A field to draw on: arrow keys move the pen, the space bar lifts it");
    $("picture-tools").hidden = false;
    $("colour-label").hidden = C !== 3;
    $("fit").checked = model.fit;
    draws();
    clear();
    await attempt(seePicture);
  }
  window.spiketicket = { run, open };
})();
