package pluginhost

// What the tests of this package need to see.
var (
	CheckHandshake = checkHandshake
	RestartDelay   = restartDelay
	AllowedEnv     = allowedEnv
	LogLine        = logLine

	AlwaysUnavailable = alwaysUnavailable
)
