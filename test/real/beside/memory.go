package main

import (
	"context"
	"path/filepath"

	"github.com/tokenwheel/tokenwheel/internal/scale"
)

// memory registers applications without a network, and weighs what the engines keep.
func (b *bench) memory(ctx context.Context) error {
	apps := b.size(200_000)
	yarn, err := b.yarn(ctx, nil, "memory", arg("apps", apps))
	if err != nil {
		return err
	}
	register, err := yarn.one("register")
	if err != nil {
		return err
	}
	bytes, err := yarn.one("engine-bytes")
	if err != nil {
		return err
	}
	cpu, err := yarn.one("register-cpu")
	if err != nil {
		return err
	}
	renewed, err := measure(ctx, scale.Load{Apps: apps, Renew: true})
	if err != nil {
		return err
	}
	b.table.add(row{what: "register in memory with a renewal that does nothing", yarn: register, ours: renewed["register.rate"], unit: "/s", aim: "5"})
	b.table.add(row{what: "CPU of that, an application", yarn: cpu, ours: renewed["register.cpu"], unit: "µs", less: true, aim: "–"})
	b.table.add(row{what: "engine memory a token, its own bytes not counted", yarn: bytes, ours: renewed["registered.engine.token"], unit: "B", less: true, aim: "200 B"})
	bare, err := measure(ctx, scale.Load{Apps: apps})
	if err != nil {
		return err
	}
	b.table.add(row{what: "register in memory, ours without the renewal", yarn: register, ours: bare["register.rate"], unit: "/s", aim: "10"})
	durable, err := measure(ctx, scale.Load{Apps: apps, Renew: true, Store: filepath.Join(b.dir, "apps.db")})
	if err != nil {
		return err
	}
	b.table.add(row{what: "register with the renewal, ours durable", yarn: register, ours: durable["register.rate"], unit: "/s", aim: "1"})
	b.table.add(row{what: "engine memory a token, ours with a store", yarn: bytes, ours: durable["registered.engine.token"], unit: "B", less: true, aim: "200 B"})
	return nil
}

func measure(ctx context.Context, l scale.Load) (map[string]float64, error) {
	list, err := scale.Measure(ctx, l)
	byName := map[string]float64{}
	for _, f := range list {
		byName[f.Name] = f.Value
	}
	return byName, err
}
