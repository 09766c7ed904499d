/* Recordings of event cameras: {t, x, y, p, width, height}, times in microseconds from 0. */
"use strict";
const recordings = (() => {
  const MOST = 64 << 20;

  function made(count, sensor, each) {
    const e = {
      t: new Float64Array(count), x: new Uint16Array(count), y: new Uint16Array(count),
      p: new Uint8Array(count), width: sensor[0], height: sensor[1],
    };
    let n = 0, outside = 0, last = -Infinity;
    each((t, x, y, p) => {
      if (sensor[0] && (x >= sensor[0] || y >= sensor[1])) { outside++; return; }
      if (t < last) throw new Error("its times go backwards");
      last = t;
      e.t[n] = t; e.x[n] = x; e.y[n] = y; e.p[n] = p;
      n++;
    });
    if (!n) throw new Error("it has no event that lies on the sensor");
    for (const key of ["t", "x", "y", "p"]) e[key] = e[key].subarray(0, n);
    for (const [side, key] of [["width", "x"], ["height", "y"]]) {
      if (!e[side]) e[side] = e[key].reduce((most, v) => Math.max(most, v), 0) + 1;
    }
    const from = e.t[0];
    for (let i = 0; i < n; i++) e.t[i] -= from;
    e.outside = outside;
    return e;
  }

  /* Lines that begin with %, and where the data begins. */
  function header(bytes) {
    let at = 0, text = "";
    while (bytes[at] === 37) {
      const end = bytes.indexOf(10, at);
      if (end < 0 || end > 65536) throw new Error("its header does not end");
      text += String.fromCharCode(...bytes.subarray(at, end)) + "\n";
      at = end + 1;
      if (/^% end\s*$/m.test(text)) break;
    }
    const number = (pattern) => Number((text.match(pattern) || [])[1]) || 0;
    const geometry = text.match(/geometry\s+(\d+)x(\d+)/);
    const sensor = geometry
      ? [Number(geometry[1]), Number(geometry[2])]
      : [number(/width[\s=]+(\d+)/i), number(/height[\s=]+(\d+)/i)];
    return { text, at, sensor: sensor[0] && sensor[1] ? sensor : null };
  }

  /* The 5-byte events of N-MNIST and N-Caltech101; row 240 is a mark of 8,192 us. */
  function bin(bytes, sensor) {
    const count = Math.floor(bytes.length / 5);
    return made(count, sensor, (event) => {
      let wraps = 0, marks = 0, before = 0;
      for (let i = 0; i < 5 * count; i += 5) {
        const t = (bytes[i + 2] & 127) << 16 | bytes[i + 3] << 8 | bytes[i + 4];
        if (t < before - (1 << 22)) wraps++;
        before = t;
        if (bytes[i + 1] === 240 && (!sensor[1] || sensor[1] <= 240)) marks++;
        else event(t + wraps * 2 ** 23 + marks * 8192, bytes[i], bytes[i + 1], bytes[i + 2] >> 7);
      }
    });
  }

  function words(bytes, at, sensor) {
    const view = new DataView(bytes.buffer, bytes.byteOffset + at);
    const count = Math.floor(view.byteLength / 8);
    return made(count, sensor, (event) => {
      for (let i = 0; i < 8 * count; i += 8) {
        const w = view.getUint32(i + 4, true);
        event(view.getUint32(i, true), w & 16383, w >>> 14 & 16383, w >>> 28 & 1);
      }
    });
  }

  function dat(bytes, sensor) {
    const head = header(bytes);
    if (bytes[head.at + 1] !== 8) throw new Error("it is no DAT file of 8-byte events");
    return words(bytes, head.at + 2, head.sensor || sensor);
  }

  function raw(bytes, sensor) {
    const head = header(bytes);
    if (!/evt 2\.0|format EVT2(;|\s)/.test(head.text)) {
      throw new Error("it is no RAW file of EVT2: this page reads no other, the program does");
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset + head.at);
    const count = Math.floor(view.byteLength / 4);
    return made(count, head.sensor || sensor, (event) => {
      let high = -1, wraps = 0;
      for (let i = 0; i < 4 * count; i += 4) {
        const w = view.getUint32(i, true), kind = w >>> 28;
        if (kind === 8) {
          const next = w & 0xfffffff;
          if (next < high - (1 << 27)) wraps++;
          high = next;
        } else if (kind < 2 && high >= 0) {
          event((wraps * 2 ** 28 + high) * 64 + (w >>> 22 & 63), w >>> 11 & 2047, w & 2047, kind);
        }
      }
    });
  }

  function read(name, bytes, sensor) {
    if (bytes.length > MOST) throw new Error("it has more than 64 MiB");
    const suffix = name.toLowerCase().split(".").pop();
    const reader = { bin, dat, raw }[suffix];
    if (!reader) throw new Error("this page reads .bin (N-MNIST), .dat and .raw (EVT2)");
    return reader(bytes, sensor || [0, 0]);
  }

  /* Counts [T][C][H][W] of the first `shown` events, in time steps of the whole recording: as
   * spiketicket.events.to_frames. */
  function frames(e, how, shown) {
    const { steps, channels, height, width } = how, n = e.t.length;
    if (height > e.height || width > e.width) {
      throw new Error(`its sensor is ${e.width}x${e.height}, frames are ${width}x${height}`);
    }
    if (!how.height_given && (height !== e.height || width !== e.width)) {
      throw new Error(`its sensor is ${e.width}x${e.height}, the ticket's ${width}x${height}`);
    }
    const out = new Uint16Array(steps * channels * height * width);
    const [first, span] = [e.t[0], e.t[n - 1] - e.t[0] + 1];
    for (let i = 0; i < shown; i++) {
      const s = how.by === "count" ? Math.floor(i * steps / n)
        : Math.floor((e.t[i] - first) * steps / span);
      const row = Math.floor(e.y[i] * height / e.height);
      const column = Math.floor(e.x[i] * width / e.width);
      const at = ((s * channels + (channels > 1 ? e.p[i] : 0)) * height + row) * width + column;
      if (how.values === "binary") out[at] = 1;
      else if (out[at]++ === 65535) throw new Error("a pixel has more than 65535 events");
    }
    return out;
  }

  return { read, words, frames };
})();
