package tokenwheel.beside;

import java.io.IOException;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicLongArray;
import org.apache.hadoop.yarn.conf.YarnConfiguration;

/** How many tokens end while calls fail by a script that both sides follow. */
final class LossRow {
  private LossRow() {}

  /** Whether the nth call about a token fails. Go's side has the same lines, and compares what the script comes to. */
  static boolean fails(int token, int call, int percent) {
    long z = token * 0x9E3779B97F4A7C15L + call * 0xD1B54A32D192ED03L + percent;
    z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
    z ^= z >>> 31;
    return call > 0 && Long.remainderUnsigned(z, 10_000) < percent * 100L;
  }

  /** Life in milliseconds; YARN renews when nine tenths of it have passed. */
  static void run(int tokens, int life, int renewals, String percents) throws Exception {
    for (String percent : percents.split(",")) {
      one(tokens, life, renewals, Integer.parseInt(percent));
    }
  }

  private static void one(int tokens, int life, int renewals, int percent) throws Exception {
    int scripted = 0;
    for (int token = 0; token < tokens; token++) {
      for (int call = 1; call <= renewals; call++) {
        scripted += fails(token, call, percent) ? 1 : 0;
      }
    }
    Peer.print("scripted-" + percent, scripted, "faults");

    AtomicIntegerArray calls = new AtomicIntegerArray(tokens);
    AtomicLongArray expires = new AtomicLongArray(tokens);
    MemoryService.answer = token -> {
      if (fails(token, calls.getAndIncrement(token), percent)) {
        throw new IOException("scripted fault");
      }
      // A renewal that comes late is let through, as a NameNode does for a while: only what the script does shall count.
      long now = System.currentTimeMillis();
      expires.set(token, now + life);
      return now + life;
    };
    try (Engine engine = new Engine(new YarnConfiguration())) {
      for (int i = 0; i < tokens; i++) {
        engine.register(i, MemoryService.token(i));
      }
      engine.awaitAdmitted(tokens);
      // After the last renewal, and before the next.
      Thread.sleep((long) life * 9 / 10 * renewals + life / 2);
      long now = System.currentTimeMillis();
      int lost = 0;
      for (int i = 0; i < tokens; i++) {
        lost += expires.get(i) <= now ? 1 : 0;
      }
      Peer.print("lost-" + percent, lost, "tokens");
    }
  }
}
