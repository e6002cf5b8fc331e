#!/bin/sh
# The demo's tasks and a made-up day, archived, queried, reported, verified, signed, tampered with and found out: `make demo-audit`.
# From a checkout, in an environment with eventresults[archive,audit]. EVENTS: of the day (1,000,000). TASKS: of the demo (all). FOLDER: where.
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

say "day: signed by a notary, verified by whoever has its public key, by the log and by the archive"
day="sqlite:///$FOLDER/day.db"
eventresults audit keygen "$FOLDER/notary.key" -o table
eventresults audit notary --once --key "$FOLDER/notary.key" --ledger "$FOLDER/ledger" --url "$day"
eventresults audit verify --public "$FOLDER/notary.key.pub" --ledger "$FOLDER/ledger" --url "$day" -o table
eventresults audit verify --public "$FOLDER/notary.key.pub" --ledger "$FOLDER/ledger" --url "$day" --archive "$FOLDER/day.archive" -o table

say "day: one event proven, and the proof checked without the log"
eventresults audit prove 0:1000 --public "$FOLDER/notary.key.pub" --ledger "$FOLDER/ledger" --url "$day" --out "$FOLDER/proof.json"
eventresults audit check "$FOLDER/proof.json" --public "$FOLDER/notary.key.pub" --url memory:// -o table

say "day: somebody who can write to the disk alters one record, and is found out"
"$PYTHON" - "$FOLDER/day.db" << 'END'
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("UPDATE records SET value = CAST(replace(CAST(value AS TEXT), '2', '3') AS BLOB) WHERE offset = 1234")
database.commit()
END
if eventresults audit verify --public "$FOLDER/notary.key.pub" --ledger "$FOLDER/ledger" --url "$day" -o table; then
    say "It was not found out: that is a defect"
    exit 1
fi

say "Open $FOLDER/day.html in a browser"
