// Command gatepass is a provider as its own process: it lends gate passes, tokens
// of a made-up kind that live for seconds. tokenwheel starts it when it is named
// in the configuration:
//
//	providers:
//	  gatepass:
//	    command: /usr/libexec/tokenwheel/gatepass
//	    sha256: <output of sha256sum>
//	    config: {life: 20s, max: 2m}
//
// Copy this folder to begin a provider of your own.
package main

import (
	"github.com/tokenwheel/tokenwheel/examples/gatepass/pass"
	"github.com/tokenwheel/tokenwheel/plugins/pluginmain"
)

func main() { pluginmain.Serve(&pass.Provider{}) }
