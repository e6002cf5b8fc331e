"""The same topics, folded by all in turn."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.bench import Bench, folder
from benchmarks.figures import Figures
from benchmarks.peers.contestants import BYTEWAX_SINK, CONFLUENT, KAFKA_PYTHON, STREAMS_OFF, STREAMS_ON, Contestant
from benchmarks.peers.environments import Unavailable
from benchmarks.peers.job import Answer, Job
from benchmarks.raw import read_confluent, read_kafka_python

#: Ratios that have a goal: our fold over confluent-kafka, against these.
AGAINST = {
    BYTEWAX_SINK.name: "Bytewax",
    STREAMS_ON.name: "Kafka Streams (changelog on)",
    STREAMS_OFF.name: "Kafka Streams (changelog off)",
}


@dataclass(frozen=True)
class Folds:
    """What all of them said, by name and number of partitions, a list of rounds each."""

    answers: dict[tuple[str, int], list[Answer]] = field(default_factory=dict)

    def median(self, name: str, partitions: int, of: Callable[[Answer], float]) -> float:
        """Of all rounds; KeyError for one that never answered."""
        return statistics.median(of(answer) for answer in self.answers[name, partitions])

    def dissenters(self) -> list[tuple[str, int]]:
        """Who did not always come to the final state that most came to, and on how many partitions: their figures are worth nothing."""
        sums = Counter(answer.checksum for answers in self.answers.values() for answer in answers)
        agreed = sums.most_common(1)[0][0] if sums else ""
        return [who for who, answers in self.answers.items() if any(answer.checksum != agreed for answer in answers)]


class Race:
    """Installs all that can be; then lets them fold, a round at a time."""

    def __init__(self, bench: Bench, contestants: Sequence[Contestant], partitions: Sequence[int], figures: Figures) -> None:
        self.folds = Folds()
        self._bench = bench
        self._partitions = partitions
        self._figures = figures
        self._commands = dict(_prepared(contestants, figures))

    def round(self) -> None:
        """Each of them once, on each topic."""
        for partitions in self._partitions:
            answers: dict[str, Answer] = {}
            for contestant, command in list(self._commands.items()):
                try:
                    answers[contestant.name] = self._fold(contestant, command, partitions)
                except Unavailable as error:
                    self._figures.miss(f"{contestant.name}, {_counted(partitions)}", str(error))
            for name, answer in answers.items():
                self.folds.answers.setdefault((name, partitions), []).append(answer)
                print(
                    f"{name + ', ' + _counted(partitions):<48} {answer.rate:>10,.0f} events/s {answer.rate_per_cpu:>10,.0f} per CPU second",
                    flush=True,
                )
            if partitions == 1:
                for name, figure in _goals(answers):
                    self._figures.add(name, figure)
                broker, topic, count = self._bench.kafka.bootstrap, self._bench.filled(1), len(self._bench.records)
                self._figures.add("raw confluent reading, records/s", read_confluent(broker, topic, 1, count))
                if KAFKA_PYTHON.name in answers:
                    alone = read_kafka_python(broker, topic, count)
                    self._figures.add("raw kafka-python reading, records/s", alone)
                    self._figures.add("fold from Kafka, kafka-python ÷ raw kafka-python reading", answers[KAFKA_PYTHON.name].rate / alone)

    def _fold(self, contestant: Contestant, command: Sequence[str], partitions: int) -> Answer:
        topic = self._bench.filled(partitions)
        with folder() as home:
            job = Job(
                bootstrap=self._bench.kafka.bootstrap,
                topic=topic,
                partitions=partitions,
                events=len(self._bench.records),
                folder=home / "state",
            )
            job.folder.mkdir()
            return contestant.fold(command, job)


def _goals(answers: Mapping[str, Answer]) -> Iterator[tuple[str, float]]:
    ours = answers.get(CONFLUENT.name)
    if ours is not None:
        yield "fold from Kafka, confluent, events/s", ours.rate
        yield "fold from Kafka, confluent, events per CPU second", ours.rate_per_cpu
        for name, short in AGAINST.items():
            if name in answers:
                yield f"fold from Kafka, confluent ÷ {short}", ours.rate / answers[name].rate
                yield f"fold from Kafka, confluent ÷ {short}, per CPU second", ours.rate_per_cpu / answers[name].rate_per_cpu
    if KAFKA_PYTHON.name in answers:
        yield "fold from Kafka, kafka-python, events/s", answers[KAFKA_PYTHON.name].rate


def _prepared(contestants: Iterable[Contestant], figures: Figures) -> Iterator[tuple[Contestant, Sequence[str]]]:
    for contestant in contestants:
        try:
            yield contestant, contestant.prepare()
        except Unavailable as error:
            figures.miss(contestant.name, str(error))


def _counted(partitions: int) -> str:
    return "1 partition" if partitions == 1 else f"{partitions} partitions"
