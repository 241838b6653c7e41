// Command varve looks after collections of backups: it lists, verifies, reads and restores
// them, and backs up Pebble databases that no process has open. See docs/command.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	_ "github.com/varvekv/varve/clouds"
	_ "gocloud.dev/secrets/awskms"
	_ "gocloud.dev/secrets/azurekeyvault"
	_ "gocloud.dev/secrets/gcpkms"
	_ "gocloud.dev/secrets/localsecrets"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := (&app{out: os.Stdout, errs: os.Stderr, getenv: os.Getenv, now: time.Now}).run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
