//! Messages between the devices of two users.

use vestibule_client::{Fuse, Received, Sent};

use super::*;

/// Sends a text from a device. What is told of it is not always what comes of the call.
async fn send(mut client: Client, to: &Household, device: &str, text: &str) -> (Option<Sent>, Result<(), Error>) {
    let code = to.client(device).friendship_code().unwrap();
    let mut told = None;
    let result = client.send_message(&code, text.parse().unwrap(), |sent| told = Some(sent.clone())).await;
    (told, result)
}

/// Who said what to a device.
async fn received_by(household: &Household, device: &str) -> Vec<(String, String)> {
    let mut said = Vec::new();
    let take = |received: &Received| {
        assert_eq!(received.unreadable, 0);
        let messages = received.messages.iter();
        said.extend(messages.map(|message| (message.from.user_name.to_string(), message.text.as_str().to_owned())));
        Ok::<_, Error>(())
    };
    household.client(device).receive_all(take).await.unwrap();
    said
}

#[tokio::test]
async fn every_device_of_a_user_gets_a_message_once_wherever_its_sender_is_killed() {
    let cloud = Arc::new(TestCloud::start().await);
    let alices = Household::new(&cloud, "alice@localhost").await;
    alices.link("laptop", "phone").await.unwrap();
    let bobs = Household::new(&cloud, "bob@localhost").await;
    // Every third point: the others are those of one device alone.
    for points in (0..).step_by(3) {
        let text = format!("hello {points}");
        let killed = Client::open(bobs.options("phone").fuse(Fuse::after(points))).unwrap();
        let (mut told, result) = send(killed, &alices, "laptop", &text).await;
        let is_over = result.is_ok();
        assert!(result.map_or_else(|error| error.is_stopped(), |()| true), "at point {points}");
        if told.is_none() {
            told = send(bobs.client("phone"), &alices, "laptop", &text).await.0;
        }
        assert_eq!(told.unwrap().devices, 2, "at point {points}");
        for device in ["phone", "laptop"] {
            let said = received_by(&alices, device).await;
            assert_eq!(said, [("bob@localhost".to_owned(), text.clone())], "{device} at point {points}");
        }
        if is_over {
            assert!(points > 20, "there are {points} points only");
            return;
        }
    }
}

#[tokio::test]
async fn every_device_of_a_user_can_write() {
    let cloud = Arc::new(TestCloud::start().await);
    let alices = Household::new(&cloud, "alice@localhost").await;
    alices.link("laptop", "phone").await.unwrap();
    let bobs = Household::new(&cloud, "bob@localhost").await;
    for device in ["phone", "laptop"] {
        let (told, result) = send(alices.client(device), &bobs, "phone", device).await;
        result.unwrap();
        assert_eq!(told.unwrap().devices, 1);
    }
    let said = |device: &str| ("alice@localhost".to_owned(), device.to_owned());
    assert_eq!(received_by(&bobs, "phone").await, [said("phone"), said("laptop")]);
}

#[tokio::test]
async fn a_device_that_was_removed_gets_nothing_more() {
    let cloud = Arc::new(TestCloud::start().await);
    let alices = Household::new(&cloud, "alice@localhost").await;
    alices.link("laptop", "phone").await.unwrap();
    let bobs = Household::new(&cloud, "bob@localhost").await;
    let old_code = alices.client("laptop").friendship_code().unwrap();
    send(bobs.client("phone"), &alices, "laptop", "before").await.1.unwrap();
    alices.client("laptop").remove_device("phone", password()).await.unwrap();

    let refused = bobs.client("phone").send_message(&old_code, "hello".parse().unwrap(), |_| ()).await.unwrap_err();
    assert_eq!(refused.urn(), ProblemType::FriendshipTokenUnknown.urn());
    let (told, result) = send(bobs.client("phone"), &alices, "laptop", "after").await;
    result.unwrap();
    assert_eq!(told.map(|sent| (sent.devices, sent.unreachable)), Some((1, 0)));
    let said = |text: &str| ("bob@localhost".to_owned(), text.to_owned());
    assert_eq!(received_by(&alices, "laptop").await, [said("before"), said("after")]);
    let refused = alices.client("phone").receive().await.unwrap_err();
    assert_eq!(refused.urn(), ProblemType::QueueUnknown.urn());
}
