const fields: [name: string, min: number, max: number][] = [
  ["minute", 0, 59], ["hour", 0, 23], ["day", 1, 31], ["month", 1, 12], ["weekday", 0, 6],
];

export default function (input: { schedule: string; after: string; count: number }): string[] {
  const parts = input.schedule.trim().split(/\s+/);
  if (parts.length !== fields.length) throw new Error(`a schedule has 5 fields, not ${parts.length}`);
  const [minute, hour, day, month, weekday] = parts.map((part, i) => parse(part, ...fields[i]));

  const runs: string[] = [];
  const at = new Date(input.after);
  at.setUTCSeconds(0, 0);
  const end = at.getTime() + 5 * 366 * 86_400_000; // a leap day comes at the latest then

  at.setUTCMinutes(at.getUTCMinutes() + 1);
  while (runs.length < input.count) {
    if (at.getTime() > end) throw new Error("the schedule never fires within five years");
    // Skip what can't match in large steps: minute by minute, years would take too long.
    if (!month.has(at.getUTCMonth() + 1)) at.setUTCMonth(at.getUTCMonth() + 1, 1), at.setUTCHours(0, 0);
    else if (!day.has(at.getUTCDate()) || !weekday.has(at.getUTCDay())) at.setUTCHours(24, 0);
    else if (!hour.has(at.getUTCHours())) at.setUTCMinutes(60);
    else {
      if (minute.has(at.getUTCMinutes())) runs.push(at.toISOString().replace(".000Z", "Z"));
      at.setUTCMinutes(at.getUTCMinutes() + 1);
    }
  }
  return runs;
}

function parse(text: string, name: string, min: number, max: number): Set<number> {
  const values = new Set<number>();
  for (const item of text.split(",")) {
    const match = /^(?:\*|(\d+)(?:-(\d+))?)(?:\/(\d+))?$/.exec(item);
    if (!match) throw new Error(`${name}: "${item}" is not understood`);
    const first = match[1] === undefined ? min : Number(match[1]);
    const last = match[2] !== undefined ? Number(match[2]) : match[1] === undefined ? max : first;
    for (const n of [first, last]) {
      if (n < min || n > max) throw new Error(`${name}: ${n} is not within ${min}-${max}`);
    }
    for (let n = first; n <= last; n += Number(match[3] ?? 1) || 1) values.add(n);
  }
  return values;
}
