//! Calls of the hold store.

use async_trait::async_trait;
use bms_domain::hold::Hold;
use bms_domain::id::{Caller, HoldId, OrderId, ShowId};
use bms_domain::memory::MemoryHolds;
use bms_domain::store::{
    Changes, Checkout, Counts, Fence, HoldChange, HoldStore, OccupancyRead, PlaceHold, Placed, Restored, ShowClaims, SoldSeats,
    StoreError,
};
use bms_domain::time::Timestamp;
use futures::FutureExt as _;

use crate::auditor::Auditor;
use crate::flaws::{self, Flaw};
use crate::servers::done;
use crate::wire::Wire;

impl Wire {
    /// Gives a command, and tells the auditor.
    async fn command<T: std::fmt::Debug + Send + 'static>(
        &self,
        method: &'static str,
        give: impl Fn(&MemoryHolds) -> Result<T, StoreError> + Send + Sync + 'static,
        audit: impl FnOnce(&mut Auditor, &T) + Send + 'static,
    ) -> Result<T, StoreError> {
        self.call(method, move |world, _| {
            let answer = world.holds.change(give)?;
            world.audit_holds(|auditor| audit(auditor, &answer));
            Ok(answer)
        })
        .await
    }

    async fn ask<T: std::fmt::Debug + Send + 'static>(
        &self,
        method: &'static str,
        ask: impl Fn(&MemoryHolds) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        self.call(method, move |world, _| world.ask_holds(ask)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl HoldStore for Wire {
    async fn place(&self, request: &PlaceHold) -> Result<Placed, StoreError> {
        let (asked, request, flaw) = (request.clone(), self.world.place_request(request), self.world.plan.flaw);
        let audit = move |auditor: &mut Auditor, answer: &Placed| auditor.placed(&asked, answer);
        self.command("holds.place", move |holds| flaws::place(holds, flaw, &request), audit).await
    }

    async fn get(&self, ids: &[HoldId]) -> Result<Vec<Option<Hold>>, StoreError> {
        let ids = ids.to_vec();
        self.ask("holds.get", move |holds| done(holds.get(&ids))).await
    }

    async fn release(&self, id: HoldId, by: &Caller) -> Result<HoldChange, StoreError> {
        let (asked, by) = (by.clone(), self.world.releaser(by));
        let audit = move |auditor: &mut Auditor, answer: &HoldChange| auditor.changed_by(&asked, id, answer);
        self.command("holds.release", move |holds| done(holds.release(id, &by)), audit).await
    }

    async fn begin_checkout(&self, id: HoldId, by: &Caller, checkout: &Checkout) -> Result<HoldChange, StoreError> {
        let (asked, by, checkout) = (by.clone(), by.clone(), self.world.checkout(checkout));
        let forgets = self.world.plan.has(Flaw::LinkForgotten);
        let audit = move |auditor: &mut Auditor, answer: &HoldChange| {
            auditor.changed_by(&asked, id, answer);
            auditor.linked(id, answer);
        };
        let give = move |holds: &MemoryHolds| flaws::begin_checkout(holds, forgets, id, &by, &checkout);
        self.command("holds.begin_checkout", give, audit).await
    }

    async fn end_checkout(&self, id: HoldId, order: OrderId) -> Result<HoldChange, StoreError> {
        let audit = move |auditor: &mut Auditor, _: &HoldChange| auditor.touched(id);
        self.command("holds.end_checkout", move |holds| done(holds.end_checkout(id, order)), audit).await
    }

    async fn give_back(&self, id: HoldId, order: OrderId, until: Timestamp) -> Result<HoldChange, StoreError> {
        let audit = move |auditor: &mut Auditor, _: &HoldChange| auditor.touched(id);
        self.command("holds.give_back", move |holds| done(holds.give_back(id, order, until)), audit).await
    }

    async fn mark_sold(&self, sold: &SoldSeats) -> Result<(), StoreError> {
        let (told, sold) = (sold.clone(), sold.clone());
        let audit = move |auditor: &mut Auditor, (): &()| auditor.told_sold(&told);
        self.command("holds.mark_sold", move |holds| done(holds.mark_sold(&sold)), audit).await
    }

    async fn mark_free(&self, sold: &SoldSeats) -> Result<(), StoreError> {
        let (told, world) = (sold.clone(), self.world.clone());
        let audit = move |auditor: &mut Auditor, (): &()| auditor.told_free(&told);
        let sold = sold.clone();
        self.call("holds.mark_free", move |_, _| {
            let freed = world.freed(&sold);
            world.holds.change(move |holds| done(holds.mark_free(&freed)))?;
            world.audit_holds(|auditor| audit(auditor, &()));
            Ok(())
        })
        .await
    }

    async fn restore(&self, claims: &ShowClaims, fence: Fence) -> Result<Restored, StoreError> {
        let (told, claims) = (claims.clone(), self.world.claims_told(claims));
        let audit = move |auditor: &mut Auditor, answer: &Restored| auditor.restored(&told, fence, answer);
        self.command("holds.restore", move |holds| done(holds.restore(&claims, fence)), audit).await
    }

    async fn occupancy(&self, show: &ShowId) -> Result<OccupancyRead, StoreError> {
        let show = *show;
        self.call("holds.occupancy", move |world, _| {
            let answer = world.ask_holds(move |holds| done(holds.occupancy(&show)))?;
            world.audit(|auditor| auditor.read_occupancy(&answer));
            Ok(answer)
        })
        .await
    }

    async fn counts(&self, shows: &[ShowId]) -> Result<Vec<Option<Counts>>, StoreError> {
        let shows = shows.to_vec();
        self.ask("holds.counts", move |holds| done(holds.counts(&shows))).await
    }

    async fn changes(&self, show: &ShowId, after: u64) -> Result<Changes, StoreError> {
        let show = *show;
        self.ask("holds.changes", move |holds| holds.changes(&show, after).now_or_never().unwrap_or(Ok(Changes::Gap))).await
    }

    fn newest(&self, show: &ShowId) -> Option<u64> {
        if !self.world.hears_notices {
            return None;
        }
        let show = *show;
        self.world.ask_holds(move |holds| Ok(holds.newest(&show))).ok().flatten()
    }

    async fn sweep(&self, limit: usize) -> Result<usize, StoreError> {
        self.command("holds.sweep", move |holds| done(holds.sweep(limit)), |_, _| {}).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.ask("holds.ping", |holds| done(holds.ping())).await
    }
}
