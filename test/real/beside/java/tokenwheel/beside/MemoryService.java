package tokenwheel.beside;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Random;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.io.Text;
import org.apache.hadoop.security.token.Token;
import org.apache.hadoop.security.token.TokenRenewer;

/** Answers for tokens of a made-up kind within this process, so that nothing but the engine is measured. Hadoop finds it by META-INF/services. */
public final class MemoryService extends TokenRenewer {
  static final Text KIND = new Text("BESIDE");
  private static final int IDENTIFIER_BYTES = 96;
  private static final int PASSWORD_BYTES = 20;

  /** How the service answers the renewal of a token: its new expiry. */
  interface Answer {
    long renew(int token) throws IOException, InterruptedException;
  }

  static volatile Answer answer;

  /** A token as large as those of HDFS, told apart by its number. */
  static Token<?> token(int number) {
    byte[] identifier = new byte[IDENTIFIER_BYTES];
    byte[] password = new byte[PASSWORD_BYTES];
    new Random(number).nextBytes(identifier);
    new Random(~number).nextBytes(password);
    ByteBuffer.wrap(identifier).putInt(number);
    return new Token<>(identifier, password, KIND, new Text("beside:1"));
  }

  @Override
  public boolean handleKind(Text kind) {
    return KIND.equals(kind);
  }

  @Override
  public boolean isManaged(Token<?> token) {
    return true;
  }

  @Override
  public long renew(Token<?> token, Configuration conf) throws IOException, InterruptedException {
    return answer.renew(ByteBuffer.wrap(token.getIdentifier()).getInt());
  }

  @Override
  public void cancel(Token<?> token, Configuration conf) {}
}
