package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/varvekv/varve"
)

// layerKeys are the keys of one layer as keys list --json has them.
type layerKeys struct {
	Path  string    `json:"path"`
	ID    string    `json:"id"`
	Keys  []jsonKey `json:"keys"`  // those of the manifest; none: the layer is not sealed
	Opens bool      `json:"opens"` // a key that was given opens the layer, or it is not sealed
}

type jsonKey struct {
	Kind string `json:"kind"`
	Hint string `json:"hint,omitempty"`
}

func (a *app) keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "keys", Short: "List the keys that open backups, and add others", Args: subcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.keysListCommand(), a.keysAddCommand())
	return cmd
}

func (a *app) keysListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list [LAYER]", Short: "List which kinds of keys open a backup and what it needs", Args: arguments(cobra.MaximumNArgs(1)),
		Long: `List which kinds of keys a backup, and each that a restore of it needs, was sealed for, and
whether a key that was given opens it. Keys that were added later are not listed.`,
		Example:           `  varve keys list -c s3://bucket/orders --passphrase-file /etc/varve/passphrase`,
		ValidArgsFunction: a.completeLayers,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd, func(ctx context.Context, c *varve.Collection) error {
				return a.keysList(ctx, c, layerArgument(args, 0))
			})
		},
	}
}

func (a *app) keysList(ctx context.Context, c *varve.Collection, name string) error {
	found, err := chain(ctx, c, name, varve.Timestamp{})
	if err != nil {
		return err
	}
	out := []layerKeys{}
	rows := [][]string{{"PATH", "SEALED FOR", "OPENS"}}
	for _, l := range found.Layers {
		k := layerKeys{Path: l.Path, ID: l.ID, Keys: []jsonKey{}}
		_, err := c.Objects(ctx, l.ID)
		if k.Opens = err == nil; err != nil && !errors.Is(err, varve.ErrNoKey) && !errors.Is(err, varve.ErrWrongKey) {
			return err
		}
		kinds, opens := "", "no"
		if s := l.Manifest.Sealing; s != nil {
			for _, w := range s.Keys {
				k.Keys = append(k.Keys, jsonKey{Kind: w.Kind, Hint: w.Hint})
				kinds += w.Kind + " "
			}
		} else {
			kinds = "not sealed"
		}
		if k.Opens {
			opens = "yes"
		}
		out, rows = append(out, k), append(rows, []string{l.Path, kinds, opens})
	}
	if a.json {
		return a.printJSON(out)
	}
	return a.table(rows)
}

func (a *app) keysAddCommand() *cobra.Command {
	var passphrase, kms, recipient string
	cmd := &cobra.Command{
		Use: "add [LAYER]", Short: "Let one more key open a backup and what it needs", Args: arguments(cobra.MaximumNArgs(1)),
		Long: `Let one more key open a backup and each that a restore of it needs. No data is read or
written again. A key that opens it already must be given, too. Keys cannot be taken away.`,
		Example: `  varve keys add --new-passphrase-file new -c s3://bucket/orders --passphrase-file old
  varve keys add 2026/11/22-063159.37 --new-recipient age1… -c s3://bucket/orders --identity-file key`,
		ValidArgsFunction: a.completeLayers,
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := a.newKey(cmd, passphrase, kms, recipient)
			if err != nil {
				return err
			}
			return a.with(cmd, func(ctx context.Context, c *varve.Collection) error {
				return a.keysAdd(ctx, c, layerArgument(args, 0), key)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&passphrase, "new-passphrase-file", "", "`file` with the passphrase to add")
	f.StringVar(&kms, "new-kms", "", "`URL` of the key in a key management service to add")
	f.StringVar(&recipient, "new-recipient", "", "`age1…` public key to add")
	return cmd
}

func (a *app) newKey(cmd *cobra.Command, passphrase, kms, recipient string) (varve.Key, error) {
	var keys []varve.Key
	if passphrase != "" {
		secret, err := a.secret(passphrase, "")
		if err != nil {
			return varve.Key{}, err
		}
		keys = append(keys, varve.Passphrase(secret))
	}
	if kms != "" {
		keys = append(keys, varve.KMS(kms))
	}
	if recipient != "" {
		keys = append(keys, varve.Recipient(recipient))
	}
	if len(keys) != 1 {
		return varve.Key{}, usagef(cmd, "which key? Give one of --new-passphrase-file, --new-kms and --new-recipient")
	}
	return keys[0], nil
}

// added is what keys add --json prints.
type added struct {
	Layers []listedLayer `json:"layers"`
	Kind   string        `json:"kind"`
}

func (a *app) keysAdd(ctx context.Context, c *varve.Collection, name string, key varve.Key) error {
	found, err := chain(ctx, c, name, varve.Timestamp{})
	if err != nil {
		return err
	}
	tip := found.Layers[len(found.Layers)-1]
	if err := c.AddKey(ctx, tip.ID, key); err != nil {
		return err
	}
	if a.json {
		out := added{Kind: key.String()}
		for _, l := range found.Layers {
			out.Layers = append(out.Layers, listed(l.LayerInfo))
		}
		return a.printJSON(out)
	}
	below := ""
	if n := len(found.Layers) - 1; n > 0 {
		below = " and " + count(int64(n), "layer") + " below it"
	}
	fmt.Fprintf(a.out, "One more %s opens %s%s.\n", strings.ToLower(key.String()), tip.Path, below)
	return nil
}
