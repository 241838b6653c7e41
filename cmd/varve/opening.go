package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/cockroachkvs"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/spf13/cobra"

	"github.com/varvekv/varve"
	"github.com/varvekv/varve/export"
	"github.com/varvekv/varve/export/pebblekv"
)

// place is the collection that was asked for.
func (a *app) place() string {
	if a.collection != "" {
		return a.collection
	}
	return a.getenv("VARVE_COLLECTION")
}

// open opens the collection that was asked for.
func (a *app) open(cmd *cobra.Command) (*varve.Collection, error) {
	place := a.place()
	if place == "" {
		return nil, usagef(cmd, "which collection? Give -c or VARVE_COLLECTION")
	}
	if !strings.Contains(place, "://") {
		abs, err := filepath.Abs(place)
		if err != nil {
			return nil, err
		}
		place = (&url.URL{Scheme: "file", Path: filepath.ToSlash(abs)}).String()
	}
	keys, err := a.keys()
	if err != nil {
		return nil, err
	}
	orders, err := a.orders(cmd)
	if err != nil {
		return nil, err
	}
	return varve.OpenCollection(cmd.Context(), place, &varve.CollectionOptions{Encryption: keys, Orders: orders, Now: a.now})
}

// with runs a verb on the collection, and closes it.
func (a *app) with(cmd *cobra.Command, verb func(context.Context, *varve.Collection) error) (err error) {
	c, err := a.open(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return verb(cmd.Context(), c)
}

// keys are those that were given: in files and variables, for lists of processes show flags.
func (a *app) keys() ([]varve.Key, error) {
	var out []varve.Key
	secret, err := a.secret(a.passphrase, "VARVE_PASSPHRASE")
	if err != nil {
		return nil, err
	}
	if secret != "" {
		out = append(out, varve.Passphrase(secret))
	}
	identities, err := a.secret(a.identity, "VARVE_IDENTITY")
	if err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(strings.NewReader(identities)); lines.Scan(); {
		if line := strings.TrimSpace(lines.Text()); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, varve.Identity(line))
		}
	}
	kms := a.kms
	if env := a.getenv("VARVE_KMS"); len(kms) == 0 && env != "" {
		kms = strings.Fields(env)
	}
	for _, u := range kms {
		out = append(out, varve.KMS(u))
	}
	for _, r := range a.recipients {
		out = append(out, varve.Recipient(r))
	}
	return out, nil
}

// secret is what stands in the file, without the newline at its end, or else in the variable.
func (a *app) secret(file, variable string) (string, error) {
	if file == "" {
		return a.getenv(variable), nil
	}
	b, err := readable(file)
	if err != nil {
		return "", err
	}
	if b = bytes.TrimRight(b, "\r\n"); len(b) == 0 {
		return "", fmt.Errorf("read key: %s is empty", file)
	}
	return string(b), nil
}

// pebbleOptions are those of a database in the order that was asked for.
func (a *app) pebbleOptions(cmd *cobra.Command) (*pebble.Options, error) {
	o := &pebble.Options{Logger: silent{}, DisableAutomaticCompactions: true, ErrorIfNotExists: true}
	switch a.comparer {
	case "bytewise":
	case "cockroachdb":
		o.Comparer = &cockroachkvs.Comparer
		o.KeySchema = cockroachkvs.KeySchema.Name
		o.KeySchemas = sstable.MakeKeySchemas(&cockroachkvs.KeySchema)
	default:
		return nil, usagef(cmd, "--comparer %q: want bytewise or cockroachdb; others are for programs that use the library", a.comparer)
	}
	return o, nil
}

// orders is the order that was asked for, as a collection wants it.
func (a *app) orders(cmd *cobra.Command) ([]export.Order, error) {
	o, err := a.pebbleOptions(cmd)
	if err != nil {
		return nil, err
	}
	info, err := pebblekv.Dir("any", &pebblekv.Options{Pebble: o}).Info(cmd.Context())
	if err != nil || info.Order == nil {
		return nil, err
	}
	return []export.Order{*info.Order}, nil
}

// silent takes what Pebble says to itself.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}

// Fatalf is called where a database cannot go on; there is nobody to return to.
func (silent) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// find is the layer that name means: what the library takes, or the first digits of an ID.
func find(ctx context.Context, c *varve.Collection, name string) (string, error) {
	if len(name) < 4 || len(name) > 31 || strings.Trim(name, "0123456789abcdef") != "" {
		return name, nil
	}
	var found []string
	for l, err := range c.Layers(ctx) {
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(l.ID, name) {
			found = append(found, l.ID)
		}
		if l.Path == name {
			return name, nil
		}
	}
	switch len(found) {
	case 0:
		return name, nil
	case 1:
		return found[0], nil
	}
	slices.Sort(found)
	return "", &usageError{"varve list", fmt.Errorf("%s is the beginning of %d IDs: %s", name, len(found), strings.Join(found, ", "))}
}

// moment parses --as-of: RFC 3339, or as varve writes timestamps.
func moment(cmd *cobra.Command, text string) (varve.Timestamp, error) {
	if text == "" {
		return varve.Timestamp{}, nil
	}
	if t, err := export.ParseTimestamp(text); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return varve.Timestamp{}, usagef(cmd, "--as-of %q: want a time as 2026-11-24T02:00:00Z, or a moment as varve show has them", text)
	}
	return varve.At(t), nil
}

// layerArgument is the layer that was named, or the latest.
func layerArgument(args []string, i int) string {
	if len(args) > i {
		return args[i]
	}
	return varve.Latest
}

// completeLayers completes paths of layers.
func (a *app) completeLayers(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	out := []string{varve.Latest}
	err := a.with(cmd, func(ctx context.Context, c *varve.Collection) error {
		for l, err := range c.Layers(ctx) {
			if err != nil {
				return err
			}
			out = append(out, l.Path)
		}
		return nil
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}
