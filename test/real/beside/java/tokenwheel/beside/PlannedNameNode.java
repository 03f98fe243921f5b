package tokenwheel.beside;

import java.io.IOException;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hdfs.DFSClient;
import org.apache.hadoop.io.Text;
import org.apache.hadoop.security.token.Token;
import org.apache.hadoop.security.token.TokenRenewer;

/**
 * Renews at the NameNode by Hadoop's own client, but tells the engine a date by which the next renewal is due when the row
 * wants it, since the service's own is a day away.
 */
public final class PlannedNameNode extends TokenRenewer {
  private static final DFSClient.Renewer CLIENT = new DFSClient.Renewer();

  /** Whether renewals go to the NameNode; else they are answered here. */
  static volatile boolean calls;

  /** When the next renewal shall be due, in milliseconds since 1970. */
  static volatile long due;

  static final AtomicInteger done = new AtomicInteger();

  @Override
  public boolean handleKind(Text kind) {
    return CLIENT.handleKind(kind);
  }

  @Override
  public boolean isManaged(Token<?> token) {
    return true;
  }

  @Override
  public long renew(Token<?> token, Configuration conf) throws IOException {
    if (calls) {
      CLIENT.renew(token, conf);
      done.incrementAndGet();
    }
    long now = System.currentTimeMillis();
    return now + (due - now) * 10 / 9; // YARN renews when nine tenths have passed
  }

  @Override
  public void cancel(Token<?> token, Configuration conf) {}
}
