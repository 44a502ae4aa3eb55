//! What a client does to link a device.

use vestibule_protocol::device_label::DeviceName;
use vestibule_protocol::linking::{DeclineReason, Ending};
use vestibule_protocol::name::UserName;
use vestibule_protocol::rendezvous::{Pairing, Role};

use super::{Client, Registered};
use crate::error::Error;
use crate::home::{Account, AuthenticationServiceState, Home};
use crate::identity;
use crate::linking::{
    ExistingDeviceRun, Linked, LinkingInteraction, NewDeviceRun, confirm, forget, join_queuing_service, register,
    settle_approval, withdraw_itself,
};
use crate::registration::{Observer, Progress, StageState};
use crate::rendezvous::{Rendezvous, Surroundings};
use crate::session::Session;

impl Client {
    /// Makes this device, which has no account, one of a user's: shows a code, waits until it was typed into one of the user's
    /// devices, and is let in by it. `user_name` is whose it is to be, if that is to be made sure of. Then, when the
    /// `interaction` was told that it is linked, it gets connection packages and a direct queue, and becomes known to the
    /// queuing service, with KeyPackages of its own.
    ///
    /// If it is interrupted, the next call goes on where that is possible; otherwise it begins again, with another code. A
    /// device that was linked is told so again, and [becomes known](Self::join_queuing_service) if it is not yet.
    ///
    /// # Errors
    /// [`Error::Linking`], [`Error::Rendezvous`], [`Error::HandoverRefused`] and others after which the device has kept
    /// nothing; [`Error::AlreadyRegistered`], [`Error::AlreadyLinked`], [`Error::RegistrationUnderWay`]; after
    /// [`Error::Api`] and [`RelayUnreachable`](crate::RendezvousError::RelayUnreachable) the same call goes on. After the
    /// device was linked, as [`Client::refill_connection_packages`] and [`Client::join_queuing_service`].
    pub async fn link(
        &mut self,
        device_name: &str,
        user_name: Option<&UserName>,
        interaction: &mut dyn LinkingInteraction,
    ) -> Result<Linked, Error> {
        let (linked, beginning) = self.become_linked(device_name, user_name, interaction).await?;
        interaction.linked(&linked);
        // Before the client becomes a pseudonym elsewhere: what it does here right after that would tell which.
        self.refill_connection_packages().await?;
        self.join(beginning, &mut |progress| interaction.progress(progress)).await?;
        Ok(linked)
    }

    /// Makes this device, which was linked, known to the queuing service, and publishes its KeyPackages, if an earlier run
    /// did not get so far. What is done is done: for a device that is known already nobody is asked. `observer` is told
    /// about every stage that remains to be done.
    ///
    /// # Errors
    /// [`Error::DeviceRemoved`], [`Error::Tokens`], [`Error::Api`], [`Error::Identity`], [`Error::QsKeys`],
    /// [`Error::OwnCredentialUnusable`], [`Error::Home`], after which the same call goes on; [`Error::NotRegistered`],
    /// [`Error::LinkingUnderWay`]; [`Error::RegistrationUnderWay`], which [`Client::register`] completes.
    pub async fn join_queuing_service(
        &mut self,
        mut observer: impl FnMut(Progress) + Send,
    ) -> Result<Registered, Error> {
        self.join(StageState::Resumed, &mut observer).await
    }

    async fn join(&self, beginning: StageState, observer: &mut Observer<'_>) -> Result<Registered, Error> {
        let mut session = self.own_session()?;
        if session.account().is_linked() {
            let longest_delay = self.longest_pseudonym_delay(&session.connection.server);
            let count = self.options.key_packages;
            // On the heap: there is much of it, and it lasts.
            Box::pin(join_queuing_service(&mut session, longest_delay, count, beginning, observer)).await?;
        }
        Registered::of(session.account())
    }

    /// Links this device. Gives how what is left to do then begins.
    async fn become_linked(
        &mut self,
        device_name: &str,
        user_name: Option<&UserName>,
        interaction: &mut dyn LinkingInteraction,
    ) -> Result<(Linked, StageState), Error> {
        let device_name: DeviceName = device_name.parse()?;
        let state = self.load()?;
        let trusted_root = self.trusted_root(state.as_ref())?;
        let connection = self.connection(state.as_ref())?;
        let was_root_trusted = state.as_ref().is_some_and(|state| state.account.is_none());
        let account = state.and_then(|state| state.account);
        check_may_link(account.as_ref(), user_name)?;
        let leftover = self.leftover()?.filter(|leftover| leftover.role() == Role::NewDevice && leftover.can_go_on());
        let goes_on = leftover.is_some();
        if !goes_on {
            self.cancel_leftover().await?;
        }
        let transport = self.relay_transport();
        let home = match &mut self.home {
            Some(home) => &*home,
            unopened => {
                let options = &self.options;
                let (randomness, fuse) = (options.randomness.clone(), options.fuse.clone());
                unopened.insert(Home::open_or_create(&options.home, randomness, fuse)?)
            }
        };
        let session = Session::new(home, connection.clone(), transport.clone(), trusted_root, account);
        let surroundings = Surroundings { home, connection, transport };
        let mut rendezvous = if goes_on {
            Rendezvous::resume(surroundings)?.expect("it was there a moment ago")
        } else if session.account.is_some() {
            return Ok((find_out(session).await?, StageState::Resumed));
        } else {
            Rendezvous::create(surroundings, trusted_root).await?
        };
        if let Some(pairing) = rendezvous.pairing() {
            interaction.show_code(pairing, rendezvous.expires_at());
        }
        let user_name = user_name.cloned();
        let run = NewDeviceRun { session, device_name, user_name, was_root_trusted, interaction };
        // On the heap: there is much of it, and it lasts.
        Ok((Box::pin(run.run(&mut rendezvous)).await?, StageState::Started))
    }

    /// Lets the device that shows `pairing` be one of this device's user's, if the person wants that. A code can be used once.
    ///
    /// If it is interrupted, the next call with the same code goes on, or tells what has come of it; so does one without a
    /// code, as long as something is [under way](Self::is_approving).
    ///
    /// # Errors
    /// [`Error::Linking`], [`Error::Rendezvous`], [`Error::KeyPackageRefused`] and others after which the new device is not
    /// linked; [`Error::NothingToApprove`]; after [`Error::Api`] and [`RelayUnreachable`](crate::RendezvousError::RelayUnreachable) the same call
    /// goes on. Others as [`Client::catch_up`].
    pub async fn approve(
        &mut self,
        pairing: Option<&Pairing>,
        interaction: &mut dyn LinkingInteraction,
    ) -> Result<Linked, Error> {
        let is_it = |code| pairing.is_none_or(|pairing| pairing.code == code);
        let leftover = self.leftover()?.filter(|leftover| leftover.role() == Role::ExistingDevice);
        let leftover = leftover.filter(|leftover| leftover.can_go_on() && is_it(leftover.code()));
        let code = leftover.map(|leftover| leftover.code());
        if code.is_none() {
            self.cancel_leftover().await?;
        }
        let mut session = self.own_session()?;
        if session.account().shared_secrets().is_none() {
            return Err(session.account().incomplete());
        }
        let transport = self.relay_transport();
        let surroundings = Surroundings { home: session.home, connection: session.connection.clone(), transport };
        let (mut rendezvous, code) = match code {
            Some(code) => (Rendezvous::resume(surroundings)?.expect("it was there a moment ago"), code),
            None => {
                let former = session.account().approval.as_ref().map(|approval| approval.code);
                let settled = settle_approval(&mut session).await?;
                if former.is_some_and(is_it) {
                    return settled.ok_or(Error::Linking(Ending::ConnectionEnded));
                }
                let pairing = pairing.ok_or(Error::NothingToApprove)?;
                identity::catch_up(&mut session).await?;
                (join(&session, surroundings, pairing).await?, pairing.code)
            }
        };
        let run = ExistingDeviceRun { session, code, interaction };
        // On the heap: there is much of it, and it lasts.
        Box::pin(run.run(&mut rendezvous)).await
    }

    /// Whether an earlier [`Client::approve`] was interrupted, so that there is something to go on with.
    ///
    /// # Errors
    /// [`Error::Home`].
    pub fn is_approving(&self) -> Result<bool, Error> {
        let leftover = self.leftover()?.filter(|leftover| leftover.role() == Role::ExistingDevice);
        let account = self.load()?.and_then(|state| state.account);
        let has_approval = account.is_some_and(|account| account.approval.is_some());
        Ok(has_approval || leftover.is_some_and(|leftover| leftover.can_go_on()))
    }

    /// Gives up the linking under way, on either device and for both of them. Gives the device that was linked if it is too
    /// late for that.
    ///
    /// # Errors
    /// [`Error::Api`], after which the authentication service has yet to be asked; [`Error::Home`].
    pub async fn abort_linking(&mut self) -> Result<Option<Linked>, Error> {
        let was_new_device = self.leftover()?.is_some_and(|leftover| leftover.role() == Role::NewDevice);
        self.cancel_leftover().await?;
        let mut session = match self.session() {
            Err(Error::NotRegistered) => return Ok(None),
            session => session?,
        };
        match &session.account().authentication_service {
            AuthenticationServiceState::Linking { .. } => {
                if withdraw_itself(&session).await? {
                    forget(&mut session)?;
                    return Ok(None);
                }
                register(&mut session)?;
                Ok(linked(session.account()))
            }
            _ if was_new_device => Ok(linked(session.account())),
            _ => settle_approval(&mut session).await,
        }
    }

    /// The rendezvous that an earlier process was at.
    pub(super) fn leftover(&self) -> Result<Option<Rendezvous<'_>>, Error> {
        let Some(home) = &self.home else { return Ok(None) };
        let connection = self.connection(self.load()?.as_ref())?;
        Rendezvous::resume(Surroundings { home, connection, transport: self.relay_transport() })
    }

    async fn cancel_leftover(&self) -> Result<(), Error> {
        match self.leftover()? {
            Some(mut leftover) => leftover.cancel().await,
            None => Ok(()),
        }
    }
}

async fn join<'c>(
    session: &Session<'_>,
    surroundings: Surroundings<'c>,
    pairing: &Pairing,
) -> Result<Rendezvous<'c>, Error> {
    Rendezvous::join(surroundings, session.account(), pairing).await.map_err(|error| match error {
        Error::Api(error) => session.refusal(error),
        error => error,
    })
}

/// A home has one account, and one that was registered is not linked.
fn check_may_link(account: Option<&Account>, user_name: Option<&UserName>) -> Result<(), Error> {
    let Some(account) = account else { return Ok(()) };
    account.check_not_being_deleted()?;
    let is_wanted = user_name.is_none_or(|wanted| *wanted == account.user_name);
    match (account.is_linked(), account.is_registered()) {
        (true, _) if is_wanted => Ok(()),
        (true, true) => Err(Error::AlreadyLinked(account.user_name.clone())),
        (false, true) => Err(Error::AlreadyRegistered(account.user_name.clone())),
        (_, false) => Err(account.incomplete()),
    }
}

/// What has come of a linking whose rendezvous is over.
async fn find_out(mut session: Session<'_>) -> Result<Linked, Error> {
    if !session.account().is_registered() {
        if !confirm(&mut session).await? {
            forget(&mut session)?;
            return Err(Error::Linking(Ending::Declined(DeclineReason::NotConfirmed)));
        }
        register(&mut session)?;
    }
    Ok(linked(session.account()).expect("it is the account of a linked device"))
}

/// This device, if it was linked.
fn linked(account: &Account) -> Option<Linked> {
    let device_name = account.device_name.parse().ok().filter(|_| account.is_linked())?;
    Some(Linked { user_name: account.user_name.clone(), client_id: account.client_id(), device_name })
}
