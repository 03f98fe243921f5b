package appregistry

import (
	"fmt"
	"time"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// MaxGeneration is the highest generation number: the readers in use parse it as
// a signed 32-bit integer.
const MaxGeneration = 1<<31 - 1

// Target is one place that an application's credentials files go to.
type Target struct {
	FS  string `json:"fs,omitempty"`  // a file system that the operator configured, by name; "": the default one
	Dir string `json:"dir,omitempty"` // an absolute path there
	// Prefix is a full file-name prefix to use instead of credentials-<uuid>, as
	// Spark's spark.yarn.credentials.file gives it; "": the application's own.
	Prefix string `json:"prefix,omitempty"`
}

// String is fs:dir, or dir alone on the default file system.
func (t Target) String() string {
	if t.FS == "" {
		return t.Dir
	}
	return t.FS + ":" + t.Dir
}

// Set is one generation of an application's credentials on its way to one
// target. Its credentials are shared: a stager does not change them.
type Set struct {
	App        AppKey
	UUID       string // random, lower case, the same for all generations of the application
	User       string // short name of the user who will own the file
	Generation uint32 // 1 to [MaxGeneration], reserved in the store before staging
	Epoch      uint32 // 1 or more; grows with each start or leadership term

	Credentials plugins.Credentials
	NextUpdate  time.Time // when the next generation is due, for readers that wait for it
	EarliestEnd time.Time // when the first of its tokens ends; zero: not known
	Target      Target
}

// Receipt tells what a target holds after a successful staging.
type Receipt struct {
	Epoch uint32
	N     uint32 // the generation
}

// Behind is the error of a target that already holds this generation, a higher
// one, or one of a higher epoch. Nothing was written; the engine reserves a
// number beyond N, raises its epoch where it has to, and stages again.
type Behind struct {
	Epoch uint32
	N     uint32
}

// Error implements error.
func (b *Behind) Error() string {
	return fmt.Sprintf("target already holds generation %d of epoch %d", b.N, b.Epoch)
}
