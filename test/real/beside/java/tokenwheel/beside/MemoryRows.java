package tokenwheel.beside;

import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.security.token.Token;
import org.apache.hadoop.yarn.conf.YarnConfiguration;

/** Registering applications without a network, and what the engine keeps of them. */
final class MemoryRows {
  private static final long DAY = 86_400_000;

  private MemoryRows() {}

  static void register(int apps) throws Exception {
    MemoryService.answer = token -> System.currentTimeMillis() + DAY;
    Token<?>[] tokens = new Token<?>[apps];
    for (int i = 0; i < apps; i++) {
      tokens[i] = MemoryService.token(i);
    }
    Configuration conf = new YarnConfiguration();
    // The first round warms the virtual machine; only the second counts.
    time(conf, tokens);
    long before = used();
    try (Engine engine = new Engine(conf)) {
      double cpu = Peer.cpu();
      Peer.print("register", apps / fill(engine, tokens), "/s");
      Peer.print("register-cpu", (Peer.cpu() - cpu) / apps * 1e6, "us");
      Peer.print("engine-bytes", (double) (used() - before) / apps, "B/token");
    }
    if (tokens[apps - 1] == null) {
      throw new IllegalStateException(); // keeps the tokens alive until here: they are counted on neither side
    }
  }

  private static void time(Configuration conf, Token<?>[] tokens) throws Exception {
    try (Engine engine = new Engine(conf)) {
      fill(engine, tokens);
    }
  }

  private static double fill(Engine engine, Token<?>[] tokens) throws InterruptedException {
    long start = System.nanoTime();
    for (int i = 0; i < tokens.length; i++) {
      engine.register(i, tokens[i]);
    }
    engine.awaitAdmitted(tokens.length);
    return (System.nanoTime() - start) / 1e9;
  }

  private static long used() throws InterruptedException {
    for (int i = 0; i < 3; i++) {
      System.gc();
      Thread.sleep(50);
    }
    return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
  }
}
