//! A worse network than there is, made on the way between a client and its connections.
//!
//! What is lost in TCP does not go missing: all that comes behind it waits until it was sent again ([RFC 6298]). So loss is
//! modelled as a pause of that connection, and is said to be.
//!
//! [RFC 6298]: https://www.rfc-editor.org/rfc/rfc6298

use serde::{Deserialize, Serialize};

use crate::Road;

/// How long a system waits before it sends again what nobody has acknowledged, in milliseconds: what Linux takes at the
/// least. Each next time it waits twice as long.
const RESEND_MS: f64 = 200.0;
/// How often in a row the same thing may be lost.
const LOST_AGAIN: u32 = 6;

/// What is put on the lab's own connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Weather {
    /// Milliseconds that there and back take longer, half of them each way.
    pub latency: u32,
    /// Out of a hundred things that are sent, so many have to be sent again.
    pub loss: u32,
    /// Roads on which nothing gets through.
    pub blocked: Vec<Road>,
}

impl Weather {
    /// Whether there is any.
    pub fn is_fair(&self) -> bool {
        *self == Self::default()
    }

    /// How much longer one thing takes one way, in milliseconds.
    pub fn delay(&self, random: &mut fastrand::Rng) -> f64 {
        let is_lost = |random: &mut fastrand::Rng| random.u32(0..100) < self.loss;
        let losses = (0..LOST_AGAIN).take_while(|_| is_lost(random)).count() as i32;
        f64::from(self.latency) / 2.0 + RESEND_MS * (2_f64.powi(losses) - 1.0)
    }
}

/// One direction of one connection, on which nothing overtakes what was sent before it.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    last: f64,
}

impl Queue {
    /// When something arrives that is sent `now` and takes `delay` longer, in milliseconds on one clock.
    pub fn arrival(&mut self, now: f64, delay: f64) -> f64 {
        self.last = self.last.max(now + delay);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overtakes_what_was_lost_and_sent_again() {
        let weather = Weather { latency: 20, loss: 50, blocked: Vec::new() };
        let (mut random, mut queue) = (fastrand::Rng::with_seed(7), Queue::default());
        let arrivals: Vec<_> =
            (0..100).map(|n| queue.arrival(f64::from(n), weather.delay(&mut random))).collect();
        assert!(arrivals.is_sorted());
        assert!(arrivals.iter().zip(0..).all(|(at, n)| *at >= f64::from(n) + 10.0));
        assert!(arrivals.iter().zip(0..).any(|(at, n)| *at >= f64::from(n) + 210.0));
    }

    #[test]
    fn fair_weather_takes_no_time() {
        let mut random = fastrand::Rng::with_seed(1);
        assert_eq!(Weather::default().delay(&mut random), 0.0);
        assert!(Weather::default().is_fair());
    }
}
