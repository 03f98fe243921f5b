package tokenwheel.beside;

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.HashMap;
import java.util.Map;

/** YARN's side of one row. Prints lines "name value unit". Arguments: the row, then key=value. */
public final class Peer {
  private Peer() {}

  public static void main(String[] args) throws Exception {
    Map<String, String> options = new HashMap<>();
    for (int i = 1; i < args.length; i++) {
      String[] pair = args[i].split("=", 2);
      options.put(pair[0], pair[1]);
    }
    switch (args[0]) {
      case "memory" -> MemoryRows.register(number(options, "apps"));
      case "namenode" -> NameNodeRows.run(
          options.get("principal"), options.get("keytab"), number(options, "tokens"), number(options, "bursts"));
      case "lateness" -> LatenessRow.run(
          number(options, "tokens"), number(options, "life"), number(options, "hang"), number(options, "for"));
      case "losses" -> LossRow.run(
          number(options, "tokens"), number(options, "life"), number(options, "renewals"), options.get("percents"));
      default -> throw new IllegalArgumentException("no row " + args[0]);
    }
    System.exit(0); // YARN leaves threads behind
  }

  private static int number(Map<String, String> options, String name) {
    return Integer.parseInt(options.get(name));
  }

  /** The CPU time of this process so far, in seconds: on a busy machine it tells more than the clock. */
  static double cpu() {
    return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime() / 1e9;
  }

  static void print(String name, double value, String unit) {
    System.out.printf("%s %.3f %s%n", name, value, unit);
  }
}
