package tokenwheel.beside;

import java.util.Arrays;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicLongArray;
import org.apache.hadoop.yarn.conf.YarnConfiguration;

/** How late scheduled renewals of healthy tokens are while the service of one more takes long to answer. */
final class LatenessRow {
  private static final int SPREAD = 7;

  private LatenessRow() {}

  /** Times in milliseconds. With hang 0 there is no such service. */
  static void run(int tokens, int life, int hang, int runFor) throws Exception {
    AtomicLongArray due = new AtomicLongArray(tokens + 1);
    AtomicIntegerArray late = new AtomicIntegerArray(tokens * (runFor / life + 3) * 2);
    AtomicInteger renewals = new AtomicInteger();
    MemoryService.answer = token -> {
      long called = System.currentTimeMillis();
      long planned = due.get(token);
      if (token < tokens && planned > 0) {
        late.set(renewals.getAndIncrement(), (int) Math.max(0, called - planned));
      }
      if (token == tokens && planned > 0 && hang > 0) {
        Thread.sleep(hang);
      }
      long now = System.currentTimeMillis();
      due.set(token, now + life - life / 10);
      return now + life;
    };
    try (Engine engine = new Engine(new YarnConfiguration())) {
      for (int i = 0; i <= tokens; i++) {
        engine.register(i, MemoryService.token(i));
        Thread.sleep(SPREAD); // as tokens of a fleet are spread, so that they do not wait for each other
      }
      engine.awaitAdmitted(tokens + 1);
      Thread.sleep(runFor);
    }
    int[] seen = new int[renewals.get()];
    for (int i = 0; i < seen.length; i++) {
      seen[i] = late.get(i);
    }
    Arrays.sort(seen);
    Peer.print("late-p50", quantile(seen, 0.5), "ms");
    Peer.print("late-p99", quantile(seen, 0.99), "ms");
    Peer.print("renewals", seen.length, "renewals");
  }

  private static double quantile(int[] sorted, double q) {
    return sorted.length == 0 ? 0 : sorted[(int) Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
  }
}
