package tokenwheel.beside;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.security.UserGroupInformation;
import org.apache.hadoop.security.token.Token;
import org.apache.hadoop.yarn.conf.YarnConfiguration;

/** Registering with the first renewal, and scheduled renewals, both at a real NameNode. */
final class NameNodeRows {
  private static final int CLIENTS = 16;
  private static final long FAR = 3_600_000;
  private static final long SOON = 2_000;

  private NameNodeRows() {}

  static void run(String principal, String keytab, int count, int bursts) throws Exception {
    Configuration conf = new YarnConfiguration();
    conf.addResource("hdfs-site.xml");
    UserGroupInformation.setConfiguration(conf);
    UserGroupInformation.loginUserFromKeytab(principal, keytab);
    List<Token<?>> tokens = obtain(conf, count);
    for (int i = 0; i < bursts; i++) {
      Peer.print("register-with-renewal", count / register(conf, tokens), "/s");
      Peer.print("scheduled-renewals", count / burst(conf, tokens), "/s");
    }
  }

  private static List<Token<?>> obtain(Configuration conf, int count) throws Exception {
    String renewer = UserGroupInformation.getLoginUser().getShortUserName();
    FileSystem fs = FileSystem.get(conf);
    ExecutorService clients = Executors.newFixedThreadPool(CLIENTS);
    List<Future<Token<?>>> answers = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      answers.add(clients.submit(() -> fs.getDelegationToken(renewer)));
    }
    List<Token<?>> tokens = new ArrayList<>();
    for (Future<Token<?>> answer : answers) {
      tokens.add(answer.get());
    }
    clients.shutdown();
    return tokens;
  }

  /** Registers all tokens, each with its first renewal, and returns how many seconds that took. */
  private static double register(Configuration conf, List<Token<?>> tokens) throws Exception {
    PlannedNameNode.calls = true;
    PlannedNameNode.due = System.currentTimeMillis() + FAR;
    try (Engine engine = new Engine(conf)) {
      long start = System.nanoTime();
      admit(engine, tokens);
      return (System.nanoTime() - start) / 1e9;
    }
  }

  /** Has the renewals of all tokens fall due at one moment and returns after how many seconds the last was done. */
  private static double burst(Configuration conf, List<Token<?>> tokens) throws Exception {
    double seconds = 0;
    for (long arm = SOON; seconds == 0; arm *= 2) {
      seconds = burst(conf, tokens, arm);
    }
    return seconds;
  }

  /** 0 where renewals were due before all tokens were registered. */
  private static double burst(Configuration conf, List<Token<?>> tokens, long arm) throws Exception {
    PlannedNameNode.calls = false;
    long due = System.currentTimeMillis() + arm;
    PlannedNameNode.due = due;
    try (Engine engine = new Engine(conf)) {
      admit(engine, tokens);
      if (System.currentTimeMillis() >= due) {
        return 0;
      }
      PlannedNameNode.done.set(0);
      PlannedNameNode.due = due + FAR;
      PlannedNameNode.calls = true;
      double cpu = Peer.cpu();
      while (PlannedNameNode.done.get() < tokens.size()) {
        if (System.currentTimeMillis() > due + 120_000) {
          throw new IllegalStateException(PlannedNameNode.done.get() + " of " + tokens.size() + " renewals after 2 minutes");
        }
        Thread.sleep(1);
      }
      Peer.print("renewal-cpu", (Peer.cpu() - cpu) / tokens.size() * 1e6, "us");
      return (System.currentTimeMillis() - due) / 1e3;
    }
  }

  private static void admit(Engine engine, List<Token<?>> tokens) throws InterruptedException {
    for (int i = 0; i < tokens.size(); i++) {
      engine.register(i, tokens.get(i));
    }
    engine.awaitAdmitted(tokens.size());
  }
}
