"""`python -m tests.support.kafka`: install Kafka's jars, or run a Kafka by hand."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from typing import NoReturn

from tests.support.kafka import KafkaCluster, KafkaHarnessError
from tests.support.kafka.runtime import install


def main() -> int:
    """Run the command named; exit code 1 if Kafka cannot be installed, started, or ends by itself."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.kafka", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="fetch the jars by Maven, unless they are there")
    run = commands.add_parser("run", help="run brokers in the foreground until Ctrl-C; their data is deleted then")
    run.add_argument("--brokers", type=int, default=1, metavar="N", help="how many (default: 1)")
    run.add_argument("--sasl", action="store_true", help="add a listener with logins: user alice, alice-secret")
    arguments = parser.parse_args()
    try:
        if arguments.command == "install":
            print(install())
        else:
            _run(arguments.brokers, sasl=arguments.sasl)
    except KafkaHarnessError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _run(brokers: int, *, sasl: bool) -> None:
    signal.signal(signal.SIGTERM, _interrupt)
    with KafkaCluster(brokers, sasl) as kafka:
        print(kafka.bootstrap, flush=True)
        if sasl:
            print(f"SASL_PLAINTEXT {kafka.sasl_bootstrap}", flush=True)
        print(f"logs and data in {kafka.folder}; Ctrl-C ends it", file=sys.stderr, flush=True)
        while True:
            for each in range(brokers):
                if not kafka.running(each):
                    message = f"broker {each} ended by itself:\n{kafka.log_tail(each)}"
                    raise KafkaHarnessError(message)
            time.sleep(0.5)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
