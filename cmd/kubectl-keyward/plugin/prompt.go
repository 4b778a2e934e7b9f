package plugin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

func terminal(file *os.File) bool { return term.IsTerminal(int(file.Fd())) }

// reply is the result of a read of standard input.
type reply struct {
	text string
	err  error
}

// ask shows a prompt on the terminal and returns the line that is typed.
func (a *app) ask(ctx context.Context, prompt string) (string, error) {
	_, _ = fmt.Fprint(a.streams.ErrOut, prompt)
	return await(ctx, func() (string, error) {
		line, err := bufio.NewReader(a.streams.In).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil // no answer is an empty one
		}
		return strings.TrimSpace(line), err
	})
}

// askHidden is ask for what must not be shown.
func (a *app) askHidden(ctx context.Context, prompt string) (string, error) {
	file := a.streams.In.(*os.File)
	// Before the prompt: what is pasted as soon as it appears must not be echoed. ReadPassword then allows lines to be
	// edited again.
	state, err := term.MakeRaw(int(file.Fd()))
	if err != nil {
		return "", fmt.Errorf("hide the input: %w", err)
	}
	defer a.narrate("")
	// Also if the command no longer waits for the answer.
	defer func() { _ = term.Restore(int(file.Fd()), state) }()
	_, _ = fmt.Fprint(a.streams.ErrOut, prompt)
	return await(ctx, func() (string, error) {
		line, err := term.ReadPassword(int(file.Fd()))
		return string(line), err
	})
}

// await allows Ctrl-C to end a read.
func await(ctx context.Context, read func() (string, error)) (string, error) {
	answers := make(chan reply, 1)
	go func() {
		text, err := read()
		answers <- reply{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case got := <-answers:
		return got.text, got.err
	}
}

// confirm asks a person at a terminal to type a word, and requires --yes everywhere else.
func (a *app) confirm(ctx context.Context, yes bool, word string) error {
	if yes {
		return nil
	}
	if !isTerminal(a.streams.In) {
		return usagef("standard input is not a terminal: add --yes to confirm")
	}
	got, err := a.ask(ctx, fmt.Sprintf("Type %s to go on: ", word))
	if err != nil {
		return err
	}
	if got != word {
		return errors.New("nothing was changed: the answer was another")
	}
	return nil
}
