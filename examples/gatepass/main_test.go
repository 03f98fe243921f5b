package main

import (
	"encoding/json"
	"testing"

	"github.com/tokenwheel/tokenwheel/examples/gatepass/pass"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/plugintest"
)

// The whole test of a provider that has no rules of its own beyond the contract.
func TestProvider(t *testing.T) {
	plugintest.Run(t, plugintest.Config{
		New:     func(testing.TB) plugins.Provider { return &pass.Provider{} },
		Program: plugintest.Build(t, "."),
		Section: json.RawMessage(`{"life": "1h", "max": "24h"}`),
	})
}
