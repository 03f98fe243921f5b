package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	nameNodeName = "namenode"
	dataNodeName = "datanode"

	nameNodeClass = "org.apache.hadoop.hdfs.server.namenode.NameNode"
	dataNodeClass = "org.apache.hadoop.hdfs.server.datanode.DataNode"

	// daemonTimeout bounds a daemon's start on a busy machine; it takes about 5 s on an idle one.
	daemonTimeout = 90 * time.Second
)

func (c *Cluster) format(ctx context.Context) error {
	if _, err := c.Java(ctx, Identity{}, nameNodeClass, "-format", "-force", "-nonInteractive"); err != nil {
		return fmt.Errorf("format the NameNode: %w", err)
	}
	return nil
}

// StartNameNode starts a stopped NameNode and waits until it serves out of safe mode.
func (c *Cluster) StartNameNode(ctx context.Context) error {
	var err error
	c.nameNode, err = startProcess(nameNodeName, c.logFile(nameNodeName), c.daemonCommand(nameNodeClass))
	if err != nil {
		return err
	}
	return c.awaitNameNode(ctx, c.nameNode, func(s fsState) error {
		if s.State != "Operational" {
			return fmt.Errorf("the NameNode is in state %q", s.State)
		}
		return nil
	})
}

// StopNameNode stops the NameNode and leaves the rest running.
func (c *Cluster) StopNameNode() {
	c.nameNode.stop()
	c.nameNode = nil
}

// RestartNameNode stops the NameNode, starts it again on the same address and waits until it serves and
// knows its DataNode again.
func (c *Cluster) RestartNameNode(ctx context.Context) error {
	c.StopNameNode()
	if err := c.StartNameNode(ctx); err != nil {
		return err
	}
	return c.awaitNameNode(ctx, c.nameNode, hasDataNode)
}

func (c *Cluster) startDataNode(ctx context.Context) error {
	var err error
	c.dataNode, err = startProcess(dataNodeName, c.logFile(dataNodeName), c.daemonCommand(dataNodeClass))
	if err != nil {
		return err
	}
	return c.awaitNameNode(ctx, c.dataNode, hasDataNode)
}

// createHomes makes the users' home folders, each for its user alone, and a /tmp for all.
func (c *Cluster) createHomes(ctx context.Context) error {
	ccache, err := c.Login(ctx, SuperuserPrincipal)
	if err != nil {
		return err
	}
	_, err = c.JavaSource(ctx, Identity{CCache: ccache}, "Homes.java", "alice", "bob", "tokenwheel")
	return err
}

// fsState is the part of the NameNode's FSNamesystemState bean that tells readiness.
type fsState struct {
	State         string `json:"FSState"`
	LiveDataNodes int    `json:"NumLiveDataNodes"`
}

func hasDataNode(s fsState) error {
	if s.State != "Operational" || s.LiveDataNodes == 0 {
		return fmt.Errorf("the NameNode is in state %q with %d DataNodes", s.State, s.LiveDataNodes)
	}
	return nil
}

// awaitNameNode asks the NameNode for its state until it satisfies ready, or p ends.
func (c *Cluster) awaitNameNode(ctx context.Context, p *process, ready func(fsState) error) error {
	ctx, cancel := context.WithTimeout(ctx, daemonTimeout)
	defer cancel()
	return p.await(ctx, func(ctx context.Context) error {
		s, err := c.fsState(ctx)
		if err != nil {
			return err
		}
		return ready(s)
	})
}

func (c *Cluster) fsState(ctx context.Context) (fsState, error) {
	var beans []fsState
	if err := jmx(ctx, c.WebAddr, "FSNamesystemState", &beans); err != nil {
		return fsState{}, err
	}
	if len(beans) != 1 {
		return fsState{}, errors.New("the NameNode has no FSNamesystemState yet")
	}
	return beans[0], nil
}
