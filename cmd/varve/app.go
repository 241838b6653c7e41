package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// app is one run of the command.
type app struct {
	out, errs io.Writer
	getenv    func(string) string
	now       func() time.Time

	collection string
	comparer   string
	passphrase string // name of a file
	identity   string // likewise
	kms        []string
	recipients []string
	json       bool
	hex        bool
	quiet      bool
}

const about = `varve looks after collections of backups of key-value stores: it lists, verifies,
reads and restores them, and backs up Pebble databases that no process has open.

A collection is a directory or a URL: /backups/orders, file:///backups/orders,
s3://bucket/orders, gs://bucket/orders, azblob://container/orders. It is given by -c
or by VARVE_COLLECTION, which does not show in lists of processes. Credentials
come from the environment, as each cloud's own tools have them.

A LAYER is one backup: LATEST, its path, its ID, or the first digits of its ID.

Exit status: 0 done, 1 failed, 2 usage, 3 nothing there, 4 damaged, 5 key needed,
6 destination or rights, 7 try again, 8 differs, 9 newer format, 130 interrupted.`

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use: "varve", Short: "Looks after backups of key-value stores", Long: about,
		SilenceErrors: true, SilenceUsage: true, Args: subcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := root.PersistentFlags()
	f.StringVarP(&a.collection, "collection", "c", "", "directory or `URL` of the collection; else VARVE_COLLECTION")
	f.StringVar(&a.comparer, "comparer", "bytewise", "order of keys: bytewise or cockroachdb")
	f.StringVar(&a.passphrase, "passphrase-file", "", "`file` with the passphrase of sealed backups; else VARVE_PASSPHRASE")
	f.StringVar(&a.identity, "identity-file", "", "`file` with age identities that open sealed backups; else VARVE_IDENTITY")
	f.StringArrayVar(&a.kms, "kms", nil, "`URL` of a key in a key management service; may be repeated; else VARVE_KMS")
	f.StringArrayVar(&a.recipients, "recipient", nil, "`age1…` public key that backups are sealed for; may be repeated")
	f.BoolVar(&a.json, "json", false, "print JSON")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "no progress")
	root.AddCommand(
		a.listCommand(), a.showCommand(), a.verifyCommand(), a.restoreCommand(), a.backupCommand(),
		a.diffCommand(), a.getCommand(), a.scanCommand(), a.expireCommand(), a.compactCommand(), a.jobsCommand(), a.keysCommand(), a.checkCommand(),
	)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return &usageError{cmd.CommandPath(), err} })
	cobra.CheckErr(root.RegisterFlagCompletionFunc("comparer", a.completeComparer)) // the flag is there
	root.SetOut(a.out)
	root.SetErr(a.errs)
	return root
}

func (a *app) completeComparer(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"bytewise", "cockroachdb"}, cobra.ShellCompDirectiveNoFileComp
}

// run is the command, and returns the exit status.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.command()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	if ctx.Err() != nil {
		fmt.Fprintln(a.errs, "varve: interrupted")
		return exitInterrupted
	}
	if errors.Is(err, errDiffers) {
		return exitDiffers
	}
	fmt.Fprintln(a.errs, "varve:", err)
	if next := a.advice(cmd, err); next != "" {
		fmt.Fprintln(a.errs, next)
	}
	return exitCode(err)
}

// subcommand refuses a verb that is not known, and says which one may be meant.
func subcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usagef(cmd, "there is no %s; did you mean %s?", args[0], strings.Join(near, " or "))
	}
	return usagef(cmd, "there is no %s", args[0])
}

// isTerminal reports whether w is one.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// arguments are checks of cobra whose errors are of usage.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &usageError{cmd.CommandPath(), err}
		}
		return nil
	}
}
