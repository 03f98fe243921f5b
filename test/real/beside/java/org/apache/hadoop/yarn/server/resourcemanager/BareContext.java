package org.apache.hadoop.yarn.server.resourcemanager;

import java.net.InetSocketAddress;
import org.apache.hadoop.yarn.event.Dispatcher;
import org.apache.hadoop.yarn.server.resourcemanager.security.RMDelegationTokenSecretManager;

/** The least of a ResourceManager that its token renewer asks for. It stands in YARN's package to reach what is private there. */
public final class BareContext {
  private BareContext() {}

  public static RMContext with(Dispatcher dispatcher) {
    RMContextImpl context = new RMContextImpl();
    context.setDispatcher(dispatcher);
    context.setRMDelegationTokenSecretManager(
        new RMDelegationTokenSecretManager(86_400_000, 604_800_000, 86_400_000, 3_600_000, context));
    context.setClientRMService(new ClientRMService(context, null, null, null, null, null) {
      @Override
      public InetSocketAddress getBindAddress() {
        return new InetSocketAddress("127.0.0.1", 8032);
      }
    });
    return context;
  }
}
