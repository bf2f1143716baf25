const composite = new Uint8Array(parameters.limit + 1);
let count = 0;
let last = 0;
for (let n = 2; n <= parameters.limit; n++) {
  if (composite[n]) continue;
  count++;
  last = n;
  for (let multiple = n * n; multiple <= parameters.limit; multiple += n) composite[multiple] = 1;
}
return { count, last };
