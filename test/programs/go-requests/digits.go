package main

// spell calls one function per hexadecimal digit of number, the highest first.
func spell(number, left, rounds int) {
	if left == 0 {
		spend(number, rounds)
		return
	}
	spellers[number>>(4*(left-1))&15](number, left-1, rounds)
}

var spellers [16]func(number, left, rounds int)

func init() {
	spellers = [...]func(number, left, rounds int){
		digit0, digit1, digit2, digit3, digit4, digit5, digit6, digit7,
		digit8, digit9, digita, digitb, digitc, digitd, digite, digitf,
	}
}

//go:noinline
func digit0(number, left, rounds int) { spell(number, left, rounds) }

//go:noinline
func digit1(number, left, rounds int) { spell(number, left, rounds) }

//go:noinline
func digit2(number, left, rounds int) { spell(number, left, rounds) }

//go:noinline
func digit3(number, left, rounds int) { spell(number, left, rounds) }

//go:noinline
func digit4(number, left, rounds int) { spell(number, left, rounds) }

//go:noinline
func digit5(number, left, rounds int) { spell(number, left, rounds) }

//go:noinline
func digit6(number, left, rounds int) { spell(number, left, rounds) }

//go:noinline
func digit7(number, left, rounds int) { spell(number, left, rounds) }

//go:noinline
func digit8(number, left, rounds int) { spell(number, left, rounds) }

//go:noinline
func digit9(number, left, rounds int) { spell(number, left, rounds) }

//go:noinline
func digita(number, left, rounds int) { spell(number, left, rounds) }

//go:noinline
func digitb(number, left, rounds int) { spell(number, left, rounds) }

//go:noinline
func digitc(number, left, rounds int) { spell(number, left, rounds) }

//go:noinline
func digitd(number, left, rounds int) { spell(number, left, rounds) }

//go:noinline
func digite(number, left, rounds int) { spell(number, left, rounds) }

//go:noinline
func digitf(number, left, rounds int) { spell(number, left, rounds) }
