package benchmark;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.ReadOnlyKeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The same fold by Kafka Streams: groupByKey().aggregate() into its RocksDB store, cache off, one thread, else its defaults. Takes
 * --bootstrap --topic --partitions --events --folder as the other programs do, and --changelog=on|off; prints one line of JSON.
 */
public final class Fold {
    private static final String[] KEPT = {
        "task_id", "name", "args", "kwargs", "queue", "worker", "pid", "attempt", "retries", "result", "runtime"
    };
    private static final String[] SUMMED = {"task_id", "state", "name", "queue", "worker", "sent_at", "started_at", "date_done"};
    private static final Map<String, String> STATES =
            Map.of("task-sent", "PENDING", "task-started", "STARTED", "task-succeeded", "SUCCESS");
    private static final Map<String, String> TIMES =
            Map.of("task-sent", "sent_at", "task-started", "started_at", "task-succeeded", "date_done");
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final OperatingSystemMXBean MACHINE =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    private static final long PATIENCE_SECONDS = 300;

    public static void main(String[] arguments) throws Exception {
        Map<String, String> options = new HashMap<>();
        for (String argument : arguments) {
            String[] parts = argument.substring(2).split("=", 2);
            options.put(parts[0], parts[1]);
        }
        long events = Long.parseLong(options.get("events"));
        AtomicLong folded = new AtomicLong();
        AtomicLong begun = new AtomicLong();
        AtomicLong begunCpu = new AtomicLong();
        AtomicReference<ObjectNode> last = new AtomicReference<>();
        CountDownLatch all = new CountDownLatch(1);

        var materialized = Materialized.<String, ObjectNode>as(Stores.persistentKeyValueStore("rows"))
                .withKeySerde(Serdes.String())
                .withValueSerde(rows())
                .withCachingDisabled();
        materialized = options.get("changelog").equals("on")
                ? materialized.withLoggingEnabled(Map.of())
                : materialized.withLoggingDisabled();
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(options.get("topic"), Consumed.with(Serdes.String(), rows()))
                .groupByKey(Grouped.with(Serdes.String(), rows()))
                .aggregate(
                        JSON::createObjectNode,
                        (key, event, row) -> {
                            long number = folded.incrementAndGet();
                            if (number == 1) {
                                begunCpu.set(MACHINE.getProcessCpuTime());
                                begun.set(System.nanoTime());
                            }
                            ObjectNode next = step(row, event);
                            if (number == events) {
                                last.set(next);
                                all.countDown();
                            }
                            return next;
                        },
                        materialized);

        KafkaStreams streams = new KafkaStreams(builder.build(), settings(options));
        streams.start();
        if (!all.await(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
            System.err.println("Only " + folded.get() + " of " + events + " events were folded: is the machine busy?");
            System.exit(1);
        }
        long wall = System.nanoTime() - begun.get();
        long cpu = MACHINE.getProcessCpuTime() - begunCpu.get();
        // Off the clock, and before closing, for a closed store cannot be asked.
        var store = streams.store(
                StoreQueryParameters.fromNameAndType("rows", QueryableStoreTypes.<String, ObjectNode>keyValueStore()));
        while (!last.get().equals(store.get(last.get().get("task_id").textValue()))) {
            Thread.sleep(1); // the aggregator has returned the last row, and Kafka Streams is about to put it
        }
        String checksum = checksum(store);
        long closing = System.nanoTime();
        long closingCpu = MACHINE.getProcessCpuTime();
        streams.close(new KafkaStreams.CloseOptions().leaveGroup(true).timeout(Duration.ofSeconds(60)));
        wall += System.nanoTime() - closing;
        cpu += MACHINE.getProcessCpuTime() - closingCpu;
        System.out.printf(
                java.util.Locale.ROOT,
                "{\"events\": %d, \"wall\": %.6f, \"cpu\": %.6f, \"checksum\": \"%s\", \"peak_mib\": %.1f}%n",
                events, wall / 1e9, cpu / 1e9, checksum, peakMib());
    }

    private static ObjectNode step(ObjectNode row, ObjectNode event) {
        for (String name : KEPT) {
            JsonNode value = event.get(name);
            if (value != null && !value.isNull()) {
                row.set(name, value);
            }
        }
        String kind = event.get("kind").textValue();
        row.put("state", STATES.get(kind));
        row.set(TIMES.get(kind), event.get("time"));
        return row;
    }

    private static String checksum(ReadOnlyKeyValueStore<String, ObjectNode> store) throws Exception {
        MessageDigest sha = MessageDigest.getInstance("SHA-256");
        long total = 0;
        try (var found = store.all()) {
            while (found.hasNext()) {
                ObjectNode row = found.next().value;
                StringBuilder text = new StringBuilder();
                for (String name : SUMMED) {
                    text.append(text(row.get(name))).append('\t');
                }
                JsonNode result = row.get("result");
                text.append(result == null || result.get("receipt") == null ? "-" : result.get("receipt").asText());
                total += ByteBuffer.wrap(sha.digest(text.toString().getBytes(StandardCharsets.UTF_8))).getLong();
            }
        }
        return String.format("%016x", total);
    }

    private static String text(JsonNode value) {
        if (value == null || value.isNull()) {
            return "-";
        }
        String text = value.asText();
        // A whole second is written without a fraction.
        boolean whole = text.length() == 20 && text.charAt(10) == 'T' && text.endsWith("Z");
        return whole ? text.substring(0, 19) + ".000000Z" : text;
    }

    private static double peakMib() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmHWM:")) {
                return Long.parseLong(line.replaceAll("[^0-9]", "")) / 1024.0;
            }
        }
        return 0;
    }

    private static Properties settings(Map<String, String> options) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "bench-streams-" + System.nanoTime());
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, options.get("bootstrap"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, options.get("folder"));
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        return settings;
    }

    private static Serde<ObjectNode> rows() {
        return Serdes.serdeFrom(
                (topic, row) -> {
                    try {
                        return row == null ? null : JSON.writeValueAsBytes(row);
                    } catch (IOException error) {
                        throw new UncheckedIOException(error);
                    }
                },
                (topic, bytes) -> {
                    try {
                        return bytes == null ? null : (ObjectNode) JSON.readTree(bytes);
                    } catch (IOException error) {
                        throw new UncheckedIOException(error);
                    }
                });
    }

    private Fold() {}
}
