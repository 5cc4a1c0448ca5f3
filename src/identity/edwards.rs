//! Whether 32 bytes are a point that an Ed25519 key can be (RFC 8032, 5.1.3).
//!
//! The crypto library looks only when a signature is verified, and then it is the caller whose token is wrong. Keys are
//! public, so nothing here needs to take the same time for all of them.

/// A number modulo 2^255 - 19, its least part first; below 2^256 and not always reduced.
type Number = [u64; 4];

const P: Number = [0xffff_ffff_ffff_ffed, u64::MAX, u64::MAX, 0x7fff_ffff_ffff_ffff];
const ONE: Number = [1, 0, 0, 0];
const MINUS_ONE: Number = [0xffff_ffff_ffff_ffec, u64::MAX, u64::MAX, 0x7fff_ffff_ffff_ffff];
/// The curve is `-x² + y² = 1 + dx²y²`.
const D: Number = [0x75eb_4dca_1359_78a3, 0x0070_0a4d_4141_d8ab, 0x8cc7_4079_7779_e898, 0x5203_6cee_2b6f_fe73];

/// Whether `bytes` are a point of the curve in its one form, and none of the few with which anyone can sign.
pub(super) fn is_key(bytes: &[u8]) -> bool {
    let Ok(bytes) = <[u8; 32]>::try_from(bytes) else { return false };
    let mut y: Number = [0; 4];
    for (part, eight) in y.iter_mut().zip(bytes.chunks_exact(8)) {
        *part = eight.iter().rev().fold(0, |part, byte| part << 8 | u64::from(*byte));
    }
    // the highest bit is the sign of x
    y[3] &= u64::MAX >> 1;
    if reduced(y) != y {
        return false;
    }
    let square = multiply(y, y);
    let (above, below) = (add(square, MINUS_ONE), add(multiply(D, square), ONE));
    // x² = above / below has a root where their product has one
    if ![[0; 4], ONE].contains(&legendre(multiply(above, below))) {
        return false;
    }
    // order 1, 2, 4: y is 1, -1 or 0; order 8: twice the point has y = 0, which is 2y² + dy⁴ = 1
    let eight = add(add(square, square), add(multiply(D, multiply(square, square)), MINUS_ONE));
    ![[0; 4], ONE, MINUS_ONE].contains(&y) && reduced(eight) != [0; 4]
}

fn reduced(mut number: Number) -> Number {
    loop {
        let (mut less, mut borrow) = ([0; 4], false);
        for ((less, part), p) in less.iter_mut().zip(number).zip(P) {
            let (once, first) = part.overflowing_sub(p);
            let (twice, second) = once.overflowing_sub(u64::from(borrow));
            (*less, borrow) = (twice, first || second);
        }
        if borrow {
            return number;
        }
        number = less;
    }
}

fn add(a: Number, b: Number) -> Number {
    let (mut sum, mut carry) = ([0; 4], 0_u128);
    for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
        carry += u128::from(a) + u128::from(b);
        *sum = carry as u64;
        carry >>= 64;
    }
    folded(sum, carry as u64)
}

/// What is beyond 2^256 comes back 38 times: 2^256 is 38 more than a multiple of the modulus.
fn folded(mut number: Number, mut beyond: u64) -> Number {
    while beyond > 0 {
        let mut carry = u128::from(beyond) * 38;
        for part in &mut number {
            carry += u128::from(*part);
            *part = carry as u64;
            carry >>= 64;
        }
        beyond = carry as u64;
    }
    number
}

fn multiply(a: Number, b: Number) -> Number {
    let mut product = [0_u64; 8];
    for (at, a) in a.into_iter().enumerate() {
        let mut carry = 0_u128;
        for (b, part) in b.into_iter().zip(&mut product[at..]) {
            carry += u128::from(a) * u128::from(b) + u128::from(*part);
            *part = carry as u64;
            carry >>= 64;
        }
        product[at + 4] = carry as u64;
    }
    let (mut low, mut carry) = ([0; 4], 0_u128);
    for (at, part) in low.iter_mut().enumerate() {
        carry += u128::from(product[at]) + 38 * u128::from(product[at + 4]);
        *part = carry as u64;
        carry >>= 64;
    }
    folded(low, carry as u64)
}

/// The number to the power of (p - 1) / 2 = 2^254 - 10: 1 for a square, 0 for 0.
fn legendre(number: Number) -> Number {
    // 2^254 - 10 is 249 ones and 10110 in binary, 1 being the highest
    let mut power = ONE;
    for bit in (0..254).rev() {
        power = multiply(power, power);
        if bit > 4 || matches!(bit, 4 | 2 | 1) {
            power = multiply(power, number);
        }
    }
    reduced(power)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;

    fn number(y: Number) -> Vec<u8> {
        y.iter().flat_map(|part| part.to_le_bytes()).collect()
    }

    #[test]
    fn keys_are_points() {
        for _ in 0..50 {
            let pair = Ed25519KeyPair::generate().unwrap();
            assert!(is_key(pair.public_key().as_ref()));
        }
        // about half of all numbers are the y of a point
        let points = (2..202).filter(|y| is_key(&number([*y, 0, 0, 0]))).count();
        assert!((60..140).contains(&points), "{points}");
        let minus_two = add(MINUS_ONE, MINUS_ONE);
        assert_eq!(is_key(&number([2, 0, 0, 0])), is_key(&number(reduced(minus_two))), "-y is on it where y is");
    }

    #[test]
    fn numbers_are_those_of_the_field() {
        assert_eq!(reduced(P), [0; 4]);
        assert_eq!(reduced(add(MINUS_ONE, ONE)), [0; 4]);
        assert_eq!(reduced(multiply(MINUS_ONE, MINUS_ONE)), ONE);
        assert_eq!(legendre([4, 0, 0, 0]), ONE);
        // two is no square modulo 2^255 - 19, -1 is one
        assert_eq!(legendre([2, 0, 0, 0]), MINUS_ONE);
        assert_eq!(legendre(MINUS_ONE), ONE);
        // d is -121665 / 121666
        let d = add(multiply(D, [121_666, 0, 0, 0]), [121_665, 0, 0, 0]);
        assert_eq!(reduced(d), [0; 4]);
    }

    #[test]
    fn a_key_that_anyone_can_sign_for_is_refused() {
        for y in [[0; 4], ONE, MINUS_ONE] {
            assert!(!is_key(&number(y)), "{y:?}");
        }
        // of order 8, as they are listed by those who warn of them
        for text in [
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        ] {
            let mut bytes: Vec<u8> =
                (0..32).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect();
            assert!(!is_key(&bytes), "{text}");
            bytes[31] |= 0x80;
            assert!(!is_key(&bytes), "{text}, the other sign");
        }
        // a number that is not reduced, and bytes that are too few
        assert!(!is_key(&number(P)) && !is_key(&[0xff; 32]) && !is_key(&[9; 31]));
    }
}
