package bench;

import com.sun.management.OperatingSystemMXBean;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Semaphore;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.kafka.annotation.EnableKafka;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.config.ConcurrentKafkaListenerContainerFactory;
import org.springframework.kafka.config.KafkaListenerEndpointRegistry;
import org.springframework.kafka.core.ConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.core.ProducerFactory;
import org.springframework.kafka.listener.ContainerProperties;
import org.springframework.kafka.listener.KafkaMessageListenerContainer;
import org.springframework.kafka.requestreply.ReplyingKafkaTemplate;
import org.springframework.messaging.handler.annotation.SendTo;

/**
 * One side of calls by Spring's template, spoken to in lines of JSON as `benchmarks.child` is.
 *
 * <p>Arguments: server or client, bootstrap servers, topic of requests, topic of replies, group.
 * Settings are those of Kafka's clients but for acks=all and linger.ms=0, as everybody here has.
 */
public final class Peer {
  private static String bootstrap;
  private static String requests;
  private static String replies;
  private static String group;

  private Peer() {}

  /** Plays one side until standard input ends. */
  public static void main(String[] arguments) throws Exception {
    bootstrap = arguments[1];
    requests = arguments[2];
    replies = arguments[3];
    group = arguments[4];
    if (arguments[0].equals("server")) {
      serve();
    } else {
      call();
    }
    System.exit(0);
  }

  static ProducerFactory<byte[], byte[]> producers() {
    Map<String, Object> settings = new HashMap<>();
    settings.put("bootstrap.servers", bootstrap);
    settings.put("key.serializer", ByteArraySerializer.class);
    settings.put("value.serializer", ByteArraySerializer.class);
    settings.put("acks", "all");
    settings.put("linger.ms", 0);
    settings.put("max.request.size", 8_388_608);
    return new DefaultKafkaProducerFactory<>(settings);
  }

  static ConsumerFactory<byte[], byte[]> consumers() {
    Map<String, Object> settings = new HashMap<>();
    settings.put("bootstrap.servers", bootstrap);
    settings.put("key.deserializer", ByteArrayDeserializer.class);
    settings.put("value.deserializer", ByteArrayDeserializer.class);
    settings.put("auto.offset.reset", "latest");
    return new DefaultKafkaConsumerFactory<>(settings);
  }

  // -- the server ---------------------------------------------------------------------------------

  /** A listener that answers with what it gets. */
  @Configuration
  @EnableKafka
  public static class Service {
    /** Which topic; named in the listener's annotation. */
    @Bean
    public String requestTopic() {
      return requests;
    }

    @Bean
    ConcurrentKafkaListenerContainerFactory<byte[], byte[]> kafkaListenerContainerFactory() {
      var factory = new ConcurrentKafkaListenerContainerFactory<byte[], byte[]>();
      factory.setConsumerFactory(consumers());
      factory.setReplyTemplate(new KafkaTemplate<>(producers()));
      return factory;
    }

    @Bean
    Echo echo() {
      return new Echo();
    }
  }

  /** The handler. */
  public static class Echo {
    /** Returns what it gets. */
    @KafkaListener(id = "#{@requestTopic}", topics = "#{@requestTopic}")
    @SendTo
    public byte[] echo(byte[] body) {
      return body;
    }
  }

  private static void serve() throws Exception {
    try (var context = new AnnotationConfigApplicationContext(Service.class)) {
      var container =
          context
              .getBean(KafkaListenerEndpointRegistry.class)
              .getListenerContainers()
              .iterator()
              .next();
      while (container.getAssignedPartitions() == null
          || container.getAssignedPartitions().isEmpty()) {
        Thread.sleep(20);
      }
      say("{\"ready\": true}");
      while (System.in.read() != -1) {
        // until the parent is done
      }
    }
  }

  // -- the client ---------------------------------------------------------------------------------

  private static void call() throws Exception {
    var properties = new ContainerProperties(replies);
    properties.setGroupId(group + ".replies");
    var container = new KafkaMessageListenerContainer<>(consumers(), properties);
    var template = new ReplyingKafkaTemplate<byte[], byte[], byte[]>(producers(), container);
    template.setDefaultReplyTimeout(Duration.ofSeconds(30));
    template.setSharedReplyTopic(true); // late replies to another run are no error
    template.start();
    if (!template.waitForAssignment(Duration.ofSeconds(30))) {
      say("{\"refused\": \"no reply partition was assigned within 30 s\"}");
      return;
    }
    template.sendAndReceive(new ProducerRecord<>(requests, 0, null, new byte[1])).get();
    say("{\"ready\": true}");
    var lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      say(
          run(
              template,
              (int) number(line, "in_flight"),
              (int) number(line, "payload"),
              number(line, "seconds")));
    }
    template.stop();
  }

  private static double number(String line, String name) {
    Matcher found = Pattern.compile("\"" + name + "\": ([0-9.]+)").matcher(line);
    if (!found.find()) {
      throw new IllegalArgumentException("no " + name + " in " + line);
    }
    return Double.parseDouble(found.group(1));
  }

  private static String run(
      ReplyingKafkaTemplate<byte[], byte[], byte[]> template,
      int inFlight,
      int payload,
      double seconds)
      throws Exception {
    var system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    var body = new byte[payload];
    Arrays.fill(body, (byte) 'x');
    var latencies = new Latencies();
    var room = new Semaphore(inFlight);
    long cpu = system.getProcessCpuTime();
    long ends = System.nanoTime() + (long) (seconds * 1e9);
    while (true) {
      room.acquire();
      long begun = System.nanoTime();
      if (begun >= ends) {
        break;
      }
      var future = template.sendAndReceive(new ProducerRecord<>(requests, 0, null, body));
      if (inFlight == 1) {
        future.get();
        latencies.add(begun, ends);
        room.release();
        continue;
      }
      future.whenComplete(
          (reply, error) -> {
            if (error == null) {
              latencies.add(begun, ends);
            }
            room.release();
          });
    }
    room.acquire(inFlight - 1);
    return latencies.told(seconds, (system.getProcessCpuTime() - cpu) / 1e3);
  }

  private static final class Latencies {
    private long[] nanos = new long[1 << 16];
    private int count;

    synchronized void add(long begun, long ends) {
      long now = System.nanoTime();
      if (now >= ends) {
        return;
      }
      if (count == nanos.length) {
        nanos = Arrays.copyOf(nanos, count * 2);
      }
      nanos[count++] = now - begun;
    }

    synchronized String told(double seconds, double cpuMicros) {
      Arrays.sort(nanos, 0, count);
      return String.format(
          Locale.ROOT,
          "{\"calls\": %d, \"rps\": %f, \"p50_ms\": %f, \"p99_ms\": %f, \"p999_ms\": %f,"
              + " \"client_cpu_us\": %f}",
          count,
          count / seconds,
          at(0.5),
          at(0.99),
          at(0.999),
          cpuMicros / Math.max(1, count));
    }

    private double at(double share) {
      return count == 0 ? 0.0 : nanos[Math.min(count - 1, (int) (count * share))] / 1e6;
    }
  }

  private static void say(String line) {
    System.out.println(line);
    System.out.flush();
  }
}
