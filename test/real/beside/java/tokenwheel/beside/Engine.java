package tokenwheel.beside;

import java.util.concurrent.atomic.AtomicInteger;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.security.Credentials;
import org.apache.hadoop.security.token.Token;
import org.apache.hadoop.yarn.api.records.ApplicationId;
import org.apache.hadoop.yarn.event.Dispatcher;
import org.apache.hadoop.yarn.event.Event;
import org.apache.hadoop.yarn.event.EventHandler;
import org.apache.hadoop.yarn.server.resourcemanager.BareContext;
import org.apache.hadoop.yarn.server.resourcemanager.rmapp.RMAppEventType;
import org.apache.hadoop.yarn.server.resourcemanager.security.DelegationTokenRenewer;

/** YARN's own renewer with as much of a ResourceManager around it as it needs. One application brings one token. */
final class Engine implements AutoCloseable {
  private final DelegationTokenRenewer renewer = new DelegationTokenRenewer();
  private final Configuration conf;
  private final AtomicInteger admitted = new AtomicInteger();
  private final AtomicInteger refused = new AtomicInteger();

  Engine(Configuration conf) {
    this.conf = conf;
    renewer.setRMContext(BareContext.with(new Dispatcher() {
      @Override
      @SuppressWarnings("rawtypes")
      public EventHandler<Event> getEventHandler() {
        return event -> (event.getType() == RMAppEventType.START ? admitted : refused).incrementAndGet();
      }

      @Override
      @SuppressWarnings("rawtypes")
      public void register(Class<? extends Enum> type, EventHandler handler) {}
    }));
    renewer.init(conf);
    renewer.start();
  }

  void register(int app, Token<?> token) {
    Credentials credentials = new Credentials();
    credentials.addToken(token.getService(), token);
    renewer.addApplicationAsync(ApplicationId.newInstance(1, app), credentials, true, "alice", conf);
  }

  /** Waits until that many applications in all were let in. One that was refused ends the run. */
  void awaitAdmitted(int count) throws InterruptedException {
    while (admitted.get() < count) {
      if (refused.get() > 0) {
        throw new IllegalStateException("YARN refused " + refused.get() + " applications");
      }
      Thread.sleep(1);
    }
  }

  @Override
  public void close() {
    renewer.stop();
  }
}
