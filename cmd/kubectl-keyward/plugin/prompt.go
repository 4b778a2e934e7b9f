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

// answer is what a read of standard input came to.
type reply struct {
	text string
	err  error
}

// ask puts a question on the terminal and returns the line that answers it.
func (a *app) ask(ctx context.Context, question string) (string, error) {
	_, _ = fmt.Fprint(a.streams.ErrOut, question)
	return await(ctx, func() (string, error) {
		line, err := bufio.NewReader(a.streams.In).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil // an answer that was not given is none
		}
		return strings.TrimSpace(line), err
	})
}

// askHidden is ask for what must not be seen.
func (a *app) askHidden(ctx context.Context, question string) (string, error) {
	file := a.streams.In.(*os.File)
	// Before the question: what is pasted as soon as it shows must not be echoed. ReadPassword then lets lines
	// be edited again.
	state, err := term.MakeRaw(int(file.Fd()))
	if err != nil {
		return "", fmt.Errorf("hide the input: %w", err)
	}
	defer a.narrate("")
	// Also when the answer is not waited for any longer.
	defer func() { _ = term.Restore(int(file.Fd()), state) }()
	_, _ = fmt.Fprint(a.streams.ErrOut, question)
	return await(ctx, func() (string, error) {
		line, err := term.ReadPassword(int(file.Fd()))
		return string(line), err
	})
}

// await lets Ctrl-C end a read.
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

// confirm lets somebody at a terminal type a word, and requires --yes of anything else.
func (a *app) confirm(ctx context.Context, yes bool, word string) error {
	if yes {
		return nil
	}
	if !isTerminal(a.streams.In) {
		return usagef("there is nobody to ask: add --yes to do it without")
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
