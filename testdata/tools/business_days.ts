interface Input {
  from: string;
  days: number;
  holidays: string[];
}

const weekdays = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

export default function ({ from, days, holidays }: Input) {
  const closed = new Set(holidays);
  const skipped: string[] = [];

  // All in UTC: a day of 23 hours in some time zone must not swallow one.
  const day = new Date(from + "T00:00:00Z");
  for (let left = days; left > 0; ) {
    day.setUTCDate(day.getUTCDate() + 1);
    const date = iso(day);
    const weekend = day.getUTCDay() === 0 || day.getUTCDay() === 6;
    if (weekend || closed.has(date)) {
      skipped.push(date);
    } else {
      left--;
    }
  }
  return { date: iso(day), weekday: weekdays[day.getUTCDay()], skipped };
}

function iso(day: Date): string {
  return day.toISOString().slice(0, 10);
}
