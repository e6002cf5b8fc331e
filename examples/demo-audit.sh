#!/bin/sh
# The demo's tasks and a made-up day, archived, queried, reported and verified: `make demo-audit`.
# From a checkout, in an environment with eventresults[archive]. EVENTS: of the day (1,000,000). TASKS: of the demo (all). FOLDER: where.
set -eu
FOLDER=${FOLDER:-eventresults-demo/audit}
PYTHON=${PYTHON:-python}
eventresults() { "$PYTHON" -m eventresults "$@"; }
say() { printf '\n== %s\n' "$*" >&2; }

rm -rf "$FOLDER"
mkdir -p "$FOLDER"

say "The demo's own tasks, and a day of a shop"
eventresults demo --folder "$FOLDER/demo" ${TASKS:+--tasks "$TASKS"} -o jsonl > "$FOLDER/demo.json"
"$PYTHON" -m benchmarks.day "sqlite:///$FOLDER/day.db" --events "${EVENTS:-1000000}"

for name in demo day; do
    case $name in
        demo) log="sqlite:///$FOLDER/demo/events.db" ;;
        day) log="sqlite:///$FOLDER/day.db" ;;
    esac
    archive="$FOLDER/$name.archive"

    say "$name: every event into Parquet, and once more to see that nothing is there twice"
    eventresults archive run --once --archive "$archive" --url "$log"
    eventresults archive run --once --archive "$archive" --url "$log"
    eventresults archive status --archive "$archive" -o table

    say "$name: asked in SQL, and by name"
    eventresults archive query "SELECT state, count(*) AS tasks FROM tasks GROUP BY ALL ORDER BY tasks DESC" --archive "$archive" -o table
    eventresults archive ask runtime-percentiles --archive "$archive" -o table
    eventresults archive ask failure-clusters --archive "$archive" --plot
    eventresults archive ask throughput --set "bucket=1 hour" --archive "$archive" --plot

    say "$name: a report"
    eventresults archive report --archive "$archive" --out "$FOLDER/$name.html"
done

say "demo: archive = log = view"
eventresults archive verify --archive "$FOLDER/demo.archive" --url "sqlite:///$FOLDER/demo/events.db"
say "day: archive = log (a stretch leaves the view out)"
eventresults archive verify --archive "$FOLDER/day.archive" --url "sqlite:///$FOLDER/day.db" --from 0:0

say "Open $FOLDER/day.html in a browser"
