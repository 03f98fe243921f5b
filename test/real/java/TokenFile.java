import java.io.DataOutputStream;
import java.io.File;
import java.io.FileOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.io.Text;
import org.apache.hadoop.security.Credentials;
import org.apache.hadoop.security.token.Token;
import org.apache.hadoop.security.token.TokenIdentifier;

/**
 * Translates between Hadoop token files and a listing, by Hadoop's own Credentials class.
 *
 * <p>{@code read FILE} prints the listing of a token file; {@code write WRITABLE|PROTOBUF FILE LISTING} writes a
 * token file of a listing. A listing has a line {@code token alias kind service identifier password} for each
 * token and {@code secret alias value} for each secret, in any order; fields are in hexadecimal, separated by tabs.
 */
public class TokenFile {
  private static final HexFormat HEX = HexFormat.of();

  public static void main(String[] args) throws Exception {
    switch (args[0]) {
      case "read" -> read(new File(args[1]));
      case "write" -> write(Credentials.SerializedFormat.valueOf(args[1]), Path.of(args[2]), Path.of(args[3]));
      default -> throw new IllegalArgumentException(args[0]);
    }
  }

  private static void read(File file) throws Exception {
    Credentials credentials = Credentials.readTokenStorageFile(file, new Configuration());
    credentials.getTokenMap().forEach((alias, t) -> print("token",
        bytes(alias), bytes(t.getKind()), bytes(t.getService()), t.getIdentifier(), t.getPassword()));
    credentials.getSecretKeyMap().forEach((alias, value) -> print("secret", bytes(alias), value));
  }

  private static void write(Credentials.SerializedFormat format, Path file, Path listing) throws Exception {
    Credentials credentials = new Credentials();
    for (String line : Files.readAllLines(listing)) {
      String[] f = line.split("\t", -1);
      if (f[0].equals("token")) {
        credentials.addToken(text(f[1]),
            new Token<TokenIdentifier>(HEX.parseHex(f[4]), HEX.parseHex(f[5]), text(f[2]), text(f[3])));
      } else {
        credentials.addSecretKey(text(f[1]), HEX.parseHex(f[2]));
      }
    }
    try (DataOutputStream out = new DataOutputStream(new FileOutputStream(file.toFile()))) {
      credentials.writeTokenStorageToStream(out, format);
    }
  }

  private static void print(String what, byte[]... fields) {
    StringBuilder line = new StringBuilder(what);
    for (byte[] field : fields) {
      line.append('\t').append(HEX.formatHex(field));
    }
    System.out.println(line);
  }

  private static byte[] bytes(Text t) {
    return t.copyBytes();
  }

  private static Text text(String hex) {
    return new Text(new String(HEX.parseHex(hex), StandardCharsets.UTF_8));
  }
}
