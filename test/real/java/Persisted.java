import java.io.IOException;
import org.apache.hadoop.hdfs.security.token.delegation.DelegationTokenIdentifier;
import org.apache.hadoop.hdfs.security.token.delegation.DelegationTokenSecretManager;
import org.apache.hadoop.io.Text;
import org.apache.hadoop.security.token.delegation.DelegationKey;

/** What the NameNode's secret manager does when it reads its image and edits, one line for each case. */
public class Persisted {
  private static class Manager extends DelegationTokenSecretManager {
    Manager() {
      super(86400000, 604800000, 86400000, 3600000, null);
    }

    @Override
    protected void logUpdateMasterKey(DelegationKey key) {} // there is no edit log

    @Override
    public synchronized int getDelegationTokenSeqNum() {
      return super.getDelegationTokenSeqNum();
    }
  }

  public static void main(String[] args) throws Exception {
    long later = System.currentTimeMillis() + 3600000;
    Manager m = new Manager();
    m.updatePersistedMasterKey(new DelegationKey(1, later, "a key".getBytes()));

    m.addPersistedDelegationToken(token(7, 1), later);
    m.addPersistedDelegationToken(token(5, 1), later);
    System.out.println("highest number: " + m.getDelegationTokenSeqNum());

    m.addPersistedDelegationToken(token(8, 2), later);
    System.out.println("tokens, one of an unknown key: " + m.getCurrentTokensSize());

    tell("twice", () -> m.addPersistedDelegationToken(token(7, 1), later));
    m.startThreads();
    tell("running", () -> m.addPersistedDelegationToken(token(9, 1), later));
    m.stopThreads();
  }

  private static DelegationTokenIdentifier token(int sequence, int key) {
    DelegationTokenIdentifier id = new DelegationTokenIdentifier(new Text("alice"), new Text("yarn"), null);
    id.setSequenceNumber(sequence);
    id.setMasterKeyId(key);
    return id;
  }

  private interface Attempt {
    void run() throws IOException;
  }

  private static void tell(String name, Attempt attempt) {
    try {
      attempt.run();
      System.out.println(name + ": accepted");
    } catch (IOException e) {
      System.out.println(name + ": " + e.getClass().getName() + ": " + e.getMessage());
    }
  }
}
