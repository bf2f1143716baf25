const { csv, delimiter } = parameters;

const rows = [];
let row = [], field = '', line = 1, quotedSince = 0;

for (let i = 0; i < csv.length; i++) {
  const c = csv[i];
  if (c === '\n') line++;
  if (quotedSince) {
    if (c !== '"') field += c;
    else if (csv[i + 1] === '"') { field += '"'; i++; }
    else quotedSince = 0;
  } else if (c === '"' && field === '') {
    quotedSince = line;
  } else if (c === delimiter) {
    row.push(field);
    field = '';
  } else if (c === '\n') {
    endRow();
  } else if (c !== '\r' || csv[i + 1] !== '\n') {
    field += c;
  }
}
if (quotedSince) throw new Error(`line ${quotedSince}: a quoted field is never closed`);
if (field !== '' || row.length > 0) endRow();

const [header = [], ...records] = rows;
return records.map((values) => Object.fromEntries(header.map((name, i) => [name, values[i] ?? ''])));

function endRow() {
  rows.push([...row, field]);
  row = [];
  field = '';
}
