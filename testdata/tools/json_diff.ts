type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type Change = { op: "add" | "remove" | "replace"; path: string; before?: Json; after?: Json };

export default function ({ before, after }: { before: Json; after: Json }): Change[] {
  return [...changes("", before, after)];
}

function* changes(path: string, before: Json, after: Json): Generator<Change> {
  if (!isContainer(before) || !isContainer(after) || Array.isArray(before) !== Array.isArray(after)) {
    if (JSON.stringify(before) !== JSON.stringify(after)) yield { op: "replace", path, before, after };
    return;
  }
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  for (const name of names) {
    const below = path + "/" + name.replace(/~/g, "~0").replace(/\//g, "~1");
    if (!Object.hasOwn(after, name)) yield { op: "remove", path: below, before: before[name] };
    else if (!Object.hasOwn(before, name)) yield { op: "add", path: below, after: after[name] };
    else yield* changes(below, before[name], after[name]);
  }
}

function isContainer(value: Json): value is { [name: string]: Json } {
  return typeof value === "object" && value !== null;
}
