import java.io.File;
import java.util.TreeSet;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.hdfs.HdfsConfiguration;
import org.apache.hadoop.hdfs.security.token.delegation.DelegationTokenIdentifier;
import org.apache.hadoop.security.Credentials;
import org.apache.hadoop.security.UserGroupInformation;
import org.apache.hadoop.security.token.Token;

/**
 * What a long-running job does with a stock client: it works with the tokens of the file it was started with, takes up
 * a later file as Spark's executors do, and works on after the first token is dead. Arguments: the later file, a
 * directory to list. Prints the services of its tokens before and after, or where it failed.
 */
public class Clones {
  @SuppressWarnings("unchecked")
  public static void main(String[] args) throws Exception {
    Configuration conf = new HdfsConfiguration();
    conf.setInt("ipc.client.connection.maxidletime", 200); // so that the second listing logs in anew
    UserGroupInformation.setConfiguration(conf);
    UserGroupInformation user = UserGroupInformation.getLoginUser();
    FileSystem fs = FileSystem.get(conf);
    fs.listStatus(new Path(args[1]));
    System.out.println("first: " + services(user));
    Credentials before = user.getCredentials(); // public ones, by alias

    user.addCredentials(Credentials.readTokenStorageFile(new File(args[0]), conf));
    // As the owner, who may by token, and through the client that stands: another would make new clones.
    Token<?> dead = before.getAllTokens().iterator().next();
    ((DistributedFileSystem) fs).getClient().getNamenode().cancelDelegationToken((Token<DelegationTokenIdentifier>) dead);
    Thread.sleep(1000);
    try {
      fs.listStatus(new Path(args[1]));
    } catch (Exception e) {
      System.out.println("second listing failed: " + e.getClass().getName());
      return;
    }
    System.out.println("second: " + services(user));
  }

  private static TreeSet<String> services(UserGroupInformation user) {
    TreeSet<String> services = new TreeSet<>();
    for (Token<?> token : user.getTokens()) {
      services.add(token.getService().toString());
    }
    return services;
  }
}
