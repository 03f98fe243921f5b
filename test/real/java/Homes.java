import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.permission.FsPermission;

/** Makes /tmp for all and, for each user named, a home folder of its own with mode 0700. Runs as the superuser. */
public class Homes {
  public static void main(String[] users) throws Exception {
    Configuration conf = new Configuration();
    conf.addResource("hdfs-site.xml");
    try (FileSystem fs = FileSystem.get(conf)) {
      make(fs, "/tmp", null, "1777");
      make(fs, "/user", null, "755");
      for (String user : users) {
        make(fs, "/user/" + user, user, "700");
      }
    }
  }

  private static void make(FileSystem fs, String name, String owner, String mode) throws Exception {
    Path path = new Path(name);
    fs.mkdirs(path);
    fs.setPermission(path, new FsPermission(mode));
    if (owner != null) {
      fs.setOwner(path, owner, owner);
    }
  }
}
